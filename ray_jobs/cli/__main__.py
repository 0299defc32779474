"""`python -m ray_jobs.cli`, as the jobs on a cluster call the `evolve` command."""

from ray_jobs.cli.app import main

# a process that an engine spawns reads this module too
if __name__ == "__main__":
    main()
