"""What runs models: the one folder that imports torch. Token ids in; losses and rewards out."""
