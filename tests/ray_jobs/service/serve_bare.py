"""The bare application in a process of its own, for tests that kill it: ROOT, dashboard, working folder, settings."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ray_jobs.service.jobs import RayJobs
from ray_jobs.service.state import ServiceState
from tests.ray_jobs.service.served import application, served

if __name__ == "__main__":
    root, dashboard, folder, settings = sys.argv[1:]
    state = ServiceState((root,), json.loads(settings), jobs=RayJobs(dashboard, Path(folder)))
    with served(application(state)) as url:
        print(url, flush=True)
        sys.stdin.read()
