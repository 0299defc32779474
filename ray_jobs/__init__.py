"""The service: a job plans its rows, streams them through pools of engines on Ray and commits what comes out.

The names below are for programs and notebooks; whatever else is in this package may change from one version to the
next. Each is loaded when it is first used, so reading an output loads no Ray.

    >>> from ray_jobs import export, load_config, open_output, run, select
    >>> report = run(load_config("run.yaml"))  # doctest: +ELLIPSIS
    plan: ...
    >>> selection = select("out/mine", "out/mine-best", by="ic_ifd", top="25%", say=str)
    >>> for record in open_output("out/mine-best").records(["instruction", "output", "ic_ifd"]):
    ...     assert record["ic_ifd"] is not None
    >>> exported = export("out/mine-best", "out/mine-sft", "alpaca", say=str)

What can go wrong is raised as a `ray_jobs.errors.JobError`, whose message names the file, the field and what was
expected. docs/using_the_data.md shows all of it.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray_jobs.datasets.opened import Output, open_output
    from ray_jobs.datasets.places import export, select
    from ray_jobs.jobs.load import load_config
    from ray_jobs.jobs.whole import run

__all__ = ["Output", "export", "load_config", "open_output", "run", "select"]

_HOME = {
    "Output": "ray_jobs.datasets.opened",
    "export": "ray_jobs.datasets.places",
    "load_config": "ray_jobs.jobs.load",
    "open_output": "ray_jobs.datasets.opened",
    "run": "ray_jobs.jobs.whole",
    "select": "ray_jobs.datasets.places",
}

# Left to itself Ray starts or joins some cluster whenever it is called upon without one, as by a thread of a run that
# has ended; read when ray is imported
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")

# A run that was killed keeps its share of the cluster for so many seconds, in which the one that resumes it starves:
# writing tasks get nothing. Living runs renew theirs every ten seconds; read when Ray Data first executes something
os.environ.setdefault("RAY_DATA_AUTOSCALING_REQUEST_EXPIRE_TIME_S", "30")

# Ray Data counts for its makers' statistics, and asks whatever server listens at port 9090 of this machine for that,
# six questions every ten seconds; read when it first executes something
os.environ.setdefault("RAY_DATA_USAGE_DISABLED", "1")

# hidden from type checkers, which would else take any name for one of this package's
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """One of the names in `__all__`, from the module that has it."""
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
