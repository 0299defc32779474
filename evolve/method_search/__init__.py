"""The search for a better method of Auto Evol-Instruct (arXiv 2406.00770); `search.optimise` runs it."""
