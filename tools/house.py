"""Counts what docs/decisions/ tells of the house: modules and lines by room, import floors, arrows between rooms.

    python tools/house.py [FOLDER OF A CHECKOUT]

tests/test_architecture.py reads imports with it.

A module's floor is the longest chain of imports below it; modules that import each other stand on one floor. An arrow
is a room that imports another one, with the number of imports behind it. Imports count wherever they stand in a file.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGES = ("evolve", "scoring", "ray_jobs")


def modules(root: Path) -> dict[str, Path]:
    """Every module of the packages by its dotted name; a package goes by its folder's."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import in a module, wherever it stands, also by name at run time.

    `from a import b` is `a.b`, whether b is a module or not. Relative and star imports are ruff's to refuse.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in names)
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def imported_modules(name: str, known: dict[str, Path]) -> set[str]:
    """The modules of ours that a module imports, itself aside."""
    names = (item for _, item in imports(known[name].read_text(encoding="utf-8")))
    found = {item if item in known else item.rpartition(".")[0] for item in names}
    return {item for item in found if item in known and item != name}


def floors(graph: dict[str, set[str]]) -> int:
    """How many floors the modules of a package stand on: a lone module without imports stands on the first."""

    @cache
    def reach(name: str) -> frozenset[str]:
        seen, left = set[str](), [name]
        while left:
            for other in graph[left.pop()]:
                if other not in seen:
                    seen.add(other)
                    left.append(other)
        return frozenset(seen)

    @cache
    def floor(name: str) -> int:
        below = {item for item in reach(name) if name not in reach(item)}
        return 1 + max((floor(item) for item in below), default=0)

    return max(map(floor, graph))


def room_of(name: str, known: dict[str, Path]) -> str:
    """The folder below its package in which a module lies, or the package where it lies in none."""
    parts = name.split(".")
    in_folder = len(parts) > 2 or (len(parts) == 2 and known[name].name == "__init__.py")
    return ".".join(parts[:2]) if in_folder else parts[0]


def lines_of(path: Path) -> int:
    """Lines that hold something."""
    return sum(1 for line in path.read_text(encoding="utf-8").splitlines() if line.strip())


def describe(root: Path) -> list[str]:
    """The figures, in lines of Markdown."""
    known = modules(root)
    # the face of a package stands outside of its rooms
    graph = {name: imported_modules(name, known) for name in known if name not in PACKAGES}
    inside = {name for name, path in known.items() if path.name != "__init__.py"}
    told = ["| room | modules | lines | longest module |", "|---|---|---|---|"]
    rooms = Counter(room_of(name, known) for name in inside)
    for room in sorted(rooms):
        own = {name: lines_of(known[name]) for name in inside if room_of(name, known) == room}
        longest = max(own, key=lambda name: own[name])
        told.append(f"| {room} | {len(own)} | {sum(own.values()):,} | {longest.split('.', 1)[1]} ({own[longest]}) |")
    for package in PACKAGES:
        own_graph = {
            name: {item for item in found if item.split(".")[0] == package and item in graph}
            for name, found in graph.items()
            if name.split(".")[0] == package
        }
        arrows = Counter(
            (room_of(name, known), room_of(item, known))
            for name, found in own_graph.items()
            for item in found
            if room_of(name, known) != room_of(item, known)
        )
        both = [pair for pair in arrows if pair[::-1] in arrows and pair < pair[::-1]]
        told.append(
            f"\n{package}: {sum(name in inside for name in own_graph)} modules on {floors(own_graph)} floors, "
            f"{sum(map(len, own_graph.values()))} imports between modules, {len(arrows)} arrows between rooms, "
            f"{len(both)} of them in both directions{': ' if both else ''}{', '.join(f'{a} <-> {b}' for a, b in both)}"
        )
        told += [f"  {a} -> {b}: {count}" for (a, b), count in sorted(arrows.items())]
    for folder in (*PACKAGES, "tests", "benchmarks"):
        paths = [path for path in sorted((root / folder).rglob("*.py")) if "outputs" not in path.parts]
        told.append(f"{folder}: {len(paths)} files, {sum(map(lines_of, paths)):,} lines")
    return told


if __name__ == "__main__":
    print("\n".join(describe(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())))
