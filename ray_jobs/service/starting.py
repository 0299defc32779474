"""Starting runs for clients: which settings they may send, and where the output of a new run lies."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import yaml

from ray_jobs.config.values import parsed
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.load import load_config
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output.run_files import read_run
from ray_jobs.service.answers import NotFound
from ray_jobs.service.asked_strategy import over_own
from ray_jobs.service.borrowing import borrowing
from ray_jobs.service.client_settings import NOTHING, refuse
from ray_jobs.service.jobs import RunJobs
from ray_jobs.service.runs import ID, Runs
from ray_jobs.service.state import ServiceState

SEEDS = "_seeds"
"""Where below the first root seeds lie that clients sent."""
MAX_SEEDS = 10_000


def read_body(body: bytes) -> dict[str, Any]:
    """Settings in YAML, of which JSON is a part. Raises ConfigError."""
    try:
        raw = parsed(body.decode())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"the body is wrong\n  line:{line}: is not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ConfigError("the body: expected settings in YAML or JSON") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"the body: expected a mapping of settings, got {type(raw).__name__}")
    return raw


class Starting:
    """Starts, resumes and stops the runs of a service."""

    def __init__(self, state: ServiceState, runs: Runs) -> None:
        self._state, self._runs = state, runs

    @property
    def jobs(self) -> RunJobs:
        """Who runs runs. Raises NotFound where this service starts none."""
        if self._state.jobs is None:
            raise NotFound("this service has no cluster to start runs on; `evolve run` starts them on this machine")
        return self._state.jobs

    def settings(self, raw: Mapping[str, Any], run_id: str, folder: str | None = None) -> dict[str, Any]:
        """The whole configuration of a new run: what a client sent over what the service was started with.

        `seeds` may be a list of seeds, which are written below `folder`, or where runs lie. Raises ConfigError, and
        Refused.
        """
        if not ID.fullmatch(run_id):
            raise ConfigError(f"the run's id is wrong\n  id: expected letters, digits, '.', '_' and '-', got {run_id}")
        sent = {name: value for name, value in raw.items() if name not in ("id", "output")}
        seeds = sent.pop("seeds", None)
        allow = self._state.config.service.allow if self._state.config else NOTHING
        refuse({**sent, "seeds": {} if isinstance(seeds, list) else seeds}, self._state.settings, allow=allow)
        if isinstance(sent.get("strategy"), Mapping):
            # as a trial takes it
            sent["strategy"] = over_own(sent["strategy"], self._state.settings.get("strategy") or {})
        whole = {**self._state.settings, **sent, "output": f"{self._state.roots[0].rstrip('/')}/{run_id}"}
        if isinstance(seeds, list):
            whole["seeds"] = {"path": self._keep(seeds, folder or self._state.roots[0])}
        elif seeds is not None:
            whole["seeds"] = seeds
        if storage := self._state.storage_of(whole["output"]):
            whole["storage"] = dict(storage)
        load_config(whole)
        return whole

    def checked(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """As `settings`, with seeds as they were sent: nothing is written that stays."""
        with tempfile.TemporaryDirectory(prefix="evolve-check-") as folder:
            whole = self.settings(raw, str(raw.get("id") or "new"), folder)
        return {**whole, "seeds": raw["seeds"]} if isinstance(raw.get("seeds"), list) else whole

    def _keep(self, seeds: Sequence[Any], root: str) -> str:
        """Write seeds that a client sent under a name that says what they are, and return where."""
        if not seeds or len(seeds) > MAX_SEEDS or not all(_is_seed(seed) for seed in seeds):
            raise ConfigError(
                "the configuration is wrong\n"
                f"  seeds: expected 1 to {MAX_SEEDS:,} seeds, each with an instruction, got {len(seeds):,}"
            )
        lines = "".join(json.dumps({"input": "", **seed}) + "\n" for seed in seeds).encode()
        path = f"{SEEDS}/{blake2b(lines, digest_size=12).hexdigest()}.jsonl"
        self._state.open(root).write_bytes(path, lines)
        return f"{root.rstrip('/')}/{path}"

    def start(self, raw: Mapping[str, Any]) -> dict[str, str]:
        """Begin a run. Raises ConfigError, also where there is one of this name, and Refused."""
        run_id = str(raw.get("id") or "")
        if run_id in self._runs.ids():
            raise ConfigError(f"the run's id is wrong\n  id: expected a new name, got {run_id}")
        jobs = self.jobs
        return {"id": run_id, "job": jobs.start(run_id, self._borrowing(self.settings(raw, run_id)))}

    def resume(self, run_id: str) -> dict[str, str]:
        """Go on with a run under the settings that it was begun with."""
        return {"id": run_id, "job": self.jobs.start(run_id, self._begun_with(run_id))}

    def retry_failed(self, run_id: str) -> dict[str, str]:
        """Run a run's failed rows again."""
        return {"id": run_id, "job": self.jobs.retry_failed(run_id, self._runs.place(run_id), self._begun_with(run_id))}

    def _begun_with(self, run_id: str) -> dict[str, Any]:
        """The whole configuration of a run that was begun, to go on with it."""
        found = self._runs.find(run_id)
        stored = read_run(found.store)
        settings = {**stored["configuration"], "output": found.place}
        if storage := self._state.storage_of(found.place):
            settings["storage"] = dict(storage)
        return self._borrowing(settings) if stored["job"] == SynthesisJob.kind else settings

    def _borrowing(self, settings: dict[str, Any]) -> dict[str, Any]:
        """The settings, on the service's own engines where it is so."""
        if self._state.own is None or self._state.config is None:
            return settings
        return borrowing(settings, self._state.config, self._state.own)

    def stop(self, run_id: str) -> dict[str, Any]:
        """Ask a run to stop in good order. Raises NotFound where no job of this cluster runs it."""
        if not self.jobs.stop(run_id):
            raise NotFound(f"run {run_id}: no job of this cluster is at work on it; stop it where it was started")
        return {"id": run_id, "stopping": True}


def _is_seed(seed: Any) -> bool:
    return isinstance(seed, dict) and isinstance(seed.get("instruction"), str) and bool(seed["instruction"].strip())
