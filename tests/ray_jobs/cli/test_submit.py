"""What travels with a job, and what is refused before anything does."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from ray_jobs.errors import ClusterError, ConfigError
from ray_jobs.service.job_client import JobClient
from ray_jobs.service.submit import MAX_PACKAGE_BYTES, Submission, entry_point, environment, has_secrets, pack
from tests.ray_jobs.ray_head import free_ports


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


def test_the_package_leaves_out_what_git_ray_and_the_user_ignore(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    write(folder, "run.yaml", "ray_jobs/cli/app.py", "evolve/out/kept.py", "notes/large.bin", "secret.env", "old.log")
    write(folder, ".git/HEAD", ".venv/bin/python", ".cache/models/m.bin", "out/first/run.json", "a/__pycache__/m.pyc")
    (folder / ".gitignore").write_text("*.log\n")
    (folder / ".rayignore").write_text("secret.env\n")
    names = pack(folder, ["notes"], tmp_path / "package.zip")
    files = {name for name in names if not name.endswith("/")}
    assert files == {"run.yaml", "ray_jobs/cli/app.py", "evolve/out/kept.py", ".gitignore", ".rayignore"}
    assert set(zipfile.ZipFile(tmp_path / "package.zip").namelist()) == set(names)


def test_a_package_that_is_too_large_names_its_largest_files(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    write(folder, "run.yaml")
    (folder / "weights.bin").write_bytes(os.urandom(MAX_PACKAGE_BYTES + 2**20))
    with pytest.raises(ConfigError, match=r"packs to 101 MiB, allowed are 100(.|\n)*weights\.bin"):
        pack(folder, [], tmp_path / "package.zip")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        pack(tmp_path / "nowhere", [], tmp_path / "package.zip")


def test_the_command_quotes_what_a_shell_would_read() -> None:
    submission = Submission(Path("run.yaml"), ["seeds={path: a b.jsonl}"], "s3://bucket/$x", job_id="one")
    assert entry_point(submission, "runs/run.yaml") == (
        "python -m ray_jobs.cli run runs/run.yaml --output 's3://bucket/$x' --set 'seeds={path: a b.jsonl}'"
    )


def test_only_named_variables_travel_and_a_missing_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "1")
    monkeypatch.delenv("NOT_HERE", raising=False)
    assert environment(["HERE"]) == {"HERE": "1"}
    with pytest.raises(ConfigError, match="--env NOT_HERE: there is no such variable"):
        environment(["HERE", "NOT_HERE"])
    with pytest.raises(ConfigError, match=r"--env HERE=\*\*\*: .* give names only"):
        environment(["HERE=2"])


def test_an_address_that_nobody_answers_is_an_error_of_its_own() -> None:
    [port] = free_ports(1)
    with pytest.raises(ClusterError, match=f"http://127.0.0.1:{port}: no Ray cluster answers here"):
        JobClient(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("override", "secret"),
    [
        ("seeds.path=a #https://user:hunter2@host/b.jsonl", True),
        ("seeds.path=hash #1.jsonl", False),
    ],
)
def test_a_secret_behind_a_hash_does_not_travel_in_the_command(override: str, secret: bool) -> None:
    assert has_secrets(Submission(Path("run.yaml"), [override])) is secret
