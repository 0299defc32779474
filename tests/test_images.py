"""The images install what `make setup` installs, from files that exist; the compose file fits them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_jobs.jobs.load import load_config
from ray_jobs.service.submit import check_output
from tests.test_lock_files import pins

ROOT = Path(__file__).parents[1]
IMAGES = {"cpu": ROOT / "docker" / "Dockerfile.cpu", "gpu": ROOT / "docker" / "Dockerfile.gpu"}
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
TORCH = next(
    need.partition("==")[2]
    for need in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    if need.startswith("torch==")
)


def instructions(path: Path) -> list[tuple[str, str]]:
    """(FROM, RUN, ...; what follows) of a Dockerfile, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#")))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line.strip())]


def installs(path: Path) -> list[list[str]]:
    """The arguments that each image line hands to pip, by way of requirements/install.sh."""
    lines = [rest for word, rest in instructions(path) if word == "RUN" and "install.sh" in rest]
    return [shlex.split(line.rsplit("&&", 1)[-1])[4:] for line in lines]


def makefile_installs() -> list[list[str]]:
    lines = re.findall(r"@\$\(INSTALL\) (.*)", (ROOT / "Makefile").read_text())
    return [shlex.split(line.replace("$(TORCH)", TORCH))[1:] for line in lines]


def test_the_cpu_image_installs_as_make_does_without_the_linters() -> None:
    torch, rest, project, dev = makefile_installs()
    assert dev == ["--no-deps", "-r", "requirements/dev.txt"]
    assert installs(IMAGES["cpu"]) == [torch, rest, [*project[:-2], "."]]


def test_the_gpu_image_does_the_same_from_its_own_lock_file() -> None:
    as_gpu = [[part.replace("cpu.txt", "gpu.txt") for part in line] for line in installs(IMAGES["cpu"])]
    assert installs(IMAGES["gpu"]) == as_gpu
    assert pins("gpu.txt")["torch"] == TORCH


@pytest.mark.parametrize("kind", IMAGES)
def test_what_is_copied_exists_and_is_sent_to_the_builder(kind: str) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [shlex.split(rest) for word, rest in instructions(IMAGES[kind]) if word == "COPY"]
    sources = [source for parts in copied for source in parts[:-1] if not source.startswith("--")]
    assert len(sources) == 9
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert {source.split("/")[0] for source in sources} == allowed


@pytest.mark.parametrize("kind", IMAGES)
def test_images_are_pinned_and_do_not_run_as_root(kind: str) -> None:
    lines = instructions(IMAGES[kind])
    [base] = [rest for word, rest in lines if word == "FROM"]
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", base)
    users = [rest for word, rest in lines if word == "USER"]
    assert users == ["1000"]
    assert not [word for word, _ in lines if word == "ENTRYPOINT"]


@pytest.mark.slow
def test_installing_the_project_brings_its_templates_and_its_command(tmp_path: Path) -> None:
    """The last RUN line, in a copy of what the image copies, with a folder in place of the virtual environment."""
    build = tmp_path / "build"
    build.mkdir()
    copied = [shlex.split(rest) for word, rest in instructions(IMAGES["cpu"]) if word == "COPY"]
    for source in (part for parts in copied for part in parts[:-1] if not part.startswith("--")):
        place = ROOT / source
        target = build / place.name
        shutil.copytree(place, target) if place.is_dir() else shutil.copy(place, target)
    command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(tmp_path / "site")]
    subprocess.run([*command, *installs(IMAGES["cpu"])[-1]], cwd=build, check=True, capture_output=True)
    installed = tmp_path / "site"
    assert (installed / "bin" / "evolve").is_file()
    templates = {path.relative_to(ROOT) for path in (ROOT / "evolve" / "templates").rglob("*.txt")}
    assert {path.relative_to(installed) for path in (installed / "evolve" / "templates").rglob("*.txt")} == templates


def test_compose_services_refer_to_each_other_and_to_files_that_exist() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"s3", "bucket", "models", "head", "job", "serve"}
    needed = {name for service in services.values() for name in service.get("depends_on", ())}
    assert needed <= set(services)
    build = services["head"]["build"]
    assert (ROOT / "docker" / build["context"] / build["dockerfile"]).resolve() == IMAGES["cpu"]
    command = services["job"]["command"]
    assert (ROOT / command[command.index("submit") + 1]).is_file()
    hosts = [urllib.parse.urlsplit(command[command.index("--address") + 1]).hostname]
    assert set(hosts) <= set(services)


def test_the_s3_server_is_the_version_that_the_tests_use() -> None:
    assert COMPOSE["services"]["s3"]["image"] == f"motoserver/moto:{pins('dev.txt')['moto']}"


def test_the_composed_run_is_valid_and_reaches_its_store() -> None:
    run = load_config(ROOT / "docker" / "compose-run.yaml")
    check_output(run)
    assert urllib.parse.urlsplit(run.storage["endpoint_url"]).hostname in COMPOSE["services"]


def test_docker_itself_accepts_the_compose_file() -> None:
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed here")
    command = [docker, "compose", "-f", str(ROOT / "docker" / "compose.yaml"), "config", "--quiet"]
    subprocess.run(command, env={"RAY_AUTH_TOKEN": "0" * 64}, check=True)
