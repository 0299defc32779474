"""Measuring the records of a run: jobs on pools and summaries, each leaving a table beside the data."""
