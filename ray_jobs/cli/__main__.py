"""`python -m ray_jobs.cli`, as the jobs on a cluster call the `evolve` command."""

from ray_jobs.cli.app import main

main()
