"""AutoIF as three runs, one after the other, on the machinery of every run: pools, plan, sink, manifest, lease, report.

`phases.py` is the whole of it on one screen: new instructions, instructions that code can check, responses.
"""
