"""The `evolve` command: one module a command or a group of them."""

from ray_jobs.cli.app import main as main
