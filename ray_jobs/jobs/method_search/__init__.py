"""The search for a better method of Auto Evol-Instruct, on actors of its own."""
