"""The service: plans a run, streams rows through pools of engines on Ray and commits what comes out."""

import os

# Left to itself Ray starts or joins some cluster whenever it is called upon without one, as by a thread of a run that
# has ended; read when ray is imported
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
