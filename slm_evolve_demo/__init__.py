"""What the demo needs, as the wheel ships it: seeds, a configuration, and how its two models are made.

It imports nothing of the other packages.
"""
