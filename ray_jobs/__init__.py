"""The service: plans a run, streams rows through pools of engines on Ray and commits what comes out."""

import os

# Read when Ray is imported: the thread of a stream that was given up must not start a second Ray after the first.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
