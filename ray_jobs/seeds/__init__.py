"""Reading seeds: files, formats, the layouts of their rows, and the set of ids that tells repeats."""
