"""Starting runs for clients: which settings they may send, and where the output of a new run lies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import yaml

from ray_jobs.config.secret_names import FROM
from ray_jobs.config.values import parsed
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.load import load_config
from ray_jobs.output.run_files import read_run
from ray_jobs.service.answers import NotFound, Refused
from ray_jobs.service.config import Allowances
from ray_jobs.service.jobs import RunJobs
from ray_jobs.service.runs import ID, Runs
from ray_jobs.service.state import ServiceState
from ray_jobs.storage.store import open_store

RESERVED: Mapping[str, str | None] = {
    **dict.fromkeys(("finish", "ray", "service")),
    # a server that a client names would be sent the key of the environment
    **dict.fromkeys(("environment", "api_key_env", "key_variable", "url", FROM), "environment"),
    "storage": "storage",
    "templates": "paths",
    "trust_remote_code": "plugins",
}
"""Settings that clients may not send, for they name what only the operator should, and what would allow each."""
PLACES = frozenset({"adapter", "chat_template", "file", "folder", "method", "model", "path", "template"})
SEEDS = "_seeds"
"""Where below the first root seeds lie that clients sent."""
MAX_SEEDS = 10_000
NOTHING = Allowances()


def read_body(body: bytes) -> dict[str, Any]:
    """Settings in YAML, of which JSON is a part. Raises ConfigError."""
    try:
        raw = parsed(body.decode())
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ConfigError("the body: expected settings in YAML or JSON") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"the body: expected a mapping of settings, got {type(raw).__name__}")
    return raw


def refuse(raw: Any, own: Any, path: Sequence[str] = (), allow: Allowances = NOTHING) -> None:
    """Refuse what clients may not set, unless it is allowed or the service's `own` settings say the same.

    Raises Refused, naming the field.
    """
    if raw == own:
        return
    name = path[-1] if path else ""
    shown = ".".join(path)
    if name in RESERVED and raw not in (None, {}, [], (), False) and not _allowed(RESERVED[name], allow):
        raise Refused(f"{shown}: is for the operator of this service to set{_unless(RESERVED[name])}")
    if name in PLACES and isinstance(raw, str) and _is_local(raw) and not allow.paths:
        raise Refused(f"{shown}: names a place on the service's disk{_unless('paths')}")
    if isinstance(raw, str) and "${" in raw and not allow.environment:
        raise Refused(f"{shown}: names a variable of the environment{_unless('environment')}")
    if name == "kind" and isinstance(raw, str) and (":" in raw or "." in raw) and not allow.plugins:
        raise Refused(f"{shown}: names code{_unless('plugins')}")
    if isinstance(raw, Mapping):
        for key, value in raw.items():
            refuse(value, own.get(key) if isinstance(own, Mapping) else None, (*path, str(key)), allow)
    elif isinstance(raw, list | tuple):
        for number, value in enumerate(raw):
            refuse(value, None, (*path, str(number)), allow)


def _allowed(what: str | None, allow: Allowances) -> bool:
    return what is not None and bool(getattr(allow, what))


def _unless(what: str | None) -> str:
    return f" (service.allow.{what})" if what else ""


def _is_local(place: str) -> bool:
    if "://" in place:
        return place.startswith(("file:", "local:"))
    return place.startswith(("/", "~", ".")) or Path(place).exists()


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

    def settings(self, raw: Mapping[str, Any], run_id: str) -> dict[str, Any]:
        """The whole configuration of a new run: what a client sent over what the service was started with.

        `seeds` may be a list of seeds. Raises ConfigError, and Refused.
        """
        if not ID.fullmatch(run_id):
            raise ConfigError(f"the run's id is wrong\n  id: expected letters, digits, '.', '_' and '-', got {run_id}")
        sent = {name: value for name, value in raw.items() if name not in ("id", "output")}
        seeds = sent.pop("seeds", None)
        allow = self._state.config.service.allow if self._state.config else NOTHING
        refuse({**sent, "seeds": {} if isinstance(seeds, list) else seeds}, self._state.settings, allow=allow)
        whole = {**self._state.settings, **sent, "output": f"{self._state.roots[0].rstrip('/')}/{run_id}"}
        if isinstance(seeds, list):
            whole["seeds"] = {"path": self._keep(seeds)}
        elif seeds is not None:
            whole["seeds"] = seeds
        if "://" in whole["output"] and self._state.storage:
            whole["storage"] = dict(self._state.storage)
        load_config(whole)
        return whole

    def _keep(self, seeds: Sequence[Any]) -> str:
        """Write seeds that a client sent under a name that says what they are, and return where."""
        if not seeds or len(seeds) > MAX_SEEDS or not all(_is_seed(seed) for seed in seeds):
            raise ConfigError(
                "the configuration is wrong\n"
                f"  seeds: expected 1 to {MAX_SEEDS:,} seeds, each with an instruction, got {len(seeds):,}"
            )
        lines = "".join(json.dumps({"input": "", **seed}) + "\n" for seed in seeds).encode()
        path = f"{SEEDS}/{blake2b(lines, digest_size=12).hexdigest()}.jsonl"
        root = self._state.roots[0]
        store = open_store(root, self._state.storage if "://" in root else {})
        store.write_bytes(path, lines)
        return f"{root.rstrip('/')}/{path}"

    def start(self, raw: Mapping[str, Any]) -> dict[str, str]:
        """Begin a run. Raises ConfigError, also where there is one of this name, and Refused."""
        run_id = str(raw.get("id") or "")
        if run_id in self._runs.ids():
            raise ConfigError(f"the run's id is wrong\n  id: expected a new name, got {run_id}")
        jobs = self.jobs
        return {"id": run_id, "job": jobs.start(run_id, self.settings(raw, run_id))}

    def resume(self, run_id: str) -> dict[str, str]:
        """Go on with a run under the settings that it was begun with."""
        found = self._runs.find(run_id)
        settings = {**read_run(found.store)["configuration"], "output": found.place}
        if self._state.storage and "://" in found.place:
            settings["storage"] = dict(self._state.storage)
        return {"id": run_id, "job": self.jobs.start(run_id, settings)}

    def retry_failed(self, run_id: str) -> dict[str, str]:
        """Run a run's failed rows again."""
        return {"id": run_id, "job": self.jobs.retry_failed(run_id, self._runs.place(run_id))}

    def stop(self, run_id: str) -> dict[str, Any]:
        """Ask a run to stop in good order. Raises NotFound where no job of this cluster runs it."""
        if not self.jobs.stop(run_id):
            raise NotFound(f"run {run_id}: no job of this cluster is at work on it; stop it where it was started")
        return {"id": run_id, "stopping": True}


def _is_seed(seed: Any) -> bool:
    return isinstance(seed, dict) and isinstance(seed.get("instruction"), str) and bool(seed["instruction"].strip())
