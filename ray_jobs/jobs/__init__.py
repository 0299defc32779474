"""The kinds of run, and the steps after one."""
