"""A strategy, an analysis, an export format and a command for slm-evolve, each in a file of its own."""
