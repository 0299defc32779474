"""Packages as an installer leaves them, made up for a test."""

from __future__ import annotations

from pathlib import Path


def install(folder: Path, package: str, code: str, **groups: dict[str, str]) -> None:
    """A package of one module, `package`.py, with the entry points that `groups` hold by WHAT (see the registry)."""
    (folder / f"{package}.py").write_text(code, encoding="utf-8")
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
    lines = list[str]()
    for what, points in groups.items():
        lines += [f"[slm_evolve.{what}]", *(f"{name} = {place}" for name, place in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
