"""The service: a job plans its rows, streams them through pools of engines on Ray and commits what comes out."""

import os

# Left to itself Ray starts or joins some cluster whenever it is called upon without one, as by a thread of a run that
# has ended; read when ray is imported
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")

# A run that was killed keeps its share of the cluster for so many seconds, in which the one that resumes it starves:
# writing tasks get nothing. Living runs renew theirs every ten seconds; read when Ray Data first executes something
os.environ.setdefault("RAY_DATA_AUTOSCALING_REQUEST_EXPIRE_TIME_S", "30")
