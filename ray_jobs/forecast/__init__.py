"""`evolve plan`: what a run will take, told before it is begun."""
