"""What commands that answer at once load: an import is what they would take their time for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
HEAVY = {"ray", "pandas", "torch", "transformers", "vllm", "matplotlib", "aiohttp", "fastapi", "s3fs", "botocore"}
PROGRAM = """
import json, sys
from ray_jobs.cli import main
try:
    main(json.loads(sys.argv[1]))
except SystemExit as ended:
    assert not ended.code, ended.code
print(json.dumps(sorted(sys.modules)))
"""


def loaded(*command: str) -> set[str]:
    """The modules of a process that has done a command."""
    program = [sys.executable, "-c", PROGRAM, json.dumps(command)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_loads_next_to_nothing() -> None:
    found = loaded("--help")
    assert not found & (HEAVY | {"numpy", "pyarrow", "pydantic", "fsspec"})
    assert len(found) < 500


@pytest.mark.parametrize("strategy", [{"kind": "evol_instruct"}, {"kind": "autoif"}])
def test_a_configuration_is_checked_without_what_a_run_needs(tmp_path: Path, strategy: dict[str, str]) -> None:
    engine = {"engine": {"kind": "openai", "model": "m", "url": "http://127.0.0.1:9/v1"}}
    config = {
        "output": str(tmp_path / "out"),
        "seeds": {"path": str(ROOT / "examples" / "seeds.jsonl"), "limit": 12},
        "strategy": strategy,
        "evolvers": {"a": engine},
        "responder": engine,
        "scorer": {"kind": "scripted"},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    found = loaded("validate", str(tmp_path / "run.yaml"), "--offline")
    assert not found & HEAVY
    assert len(found) < 1200
