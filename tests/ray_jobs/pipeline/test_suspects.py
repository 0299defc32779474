"""Rows that may end engines: who is suspected after which deaths, and with whom suspects go."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest

from ray_jobs.output.file_names import Tag
from ray_jobs.pipeline.actor import groups_of
from ray_jobs.pipeline.gate import Gate
from ray_jobs.pipeline.journal import BlockReplies, Journal, JournalPlace, Suspect
from ray_jobs.storage.store import open_store

NEVER = 1e6


def journal(folder: Path) -> Journal:
    return Journal(JournalPlace(open_store(str(folder)), Tag(1, "0123456789ab"), "run", "evolve_a", NEVER))


@pytest.mark.parametrize(
    ("among", "group"),
    [
        ((300,), None),  # any engine may die once
        ((1,), None),
        ((300, 290), 145),
        ((300, 290, 145, 3), 1),
        ((300, 290, 145, 3, 1), 0),
        ((1, 1), 0),
        ((1, 300), 1),  # one death was perhaps another row's: alone once more
        ((2, 2), 1),
    ],
)
def test_suspects_go_with_half_of_those_they_were_with(among: tuple[int, ...], group: int | None) -> None:
    assert Suspect(among, "").group == group
    assert Suspect(among[::-1], "").group == group


def test_groups_are_not_too_large_for_any_row_of_them() -> None:
    assert groups_of([None, 2, 3, 3, 0, 3, 2, None]) == [[4], [1, 6], [2, 3, 5]]
    assert groups_of([None, None]) == []


@pytest.mark.parametrize("guilty", [{0}, {319}, {7, 8}, {0, 100, 101, 300, 319}])
def test_a_guilty_row_costs_few_engines_and_no_innocent_one_is_blamed(guilty: set[int], tmp_path: Path) -> None:
    rows, deaths, done = range(320), 0, set[int]()
    while True:
        block = journal(tmp_path).begin(rows)
        limits = [block.group(row) for row in rows]
        groups = groups_of(limits)
        ordinary = [row for row in rows if limits[row] is None]
        asked = ([row for row in group if limits[row] != 0] for group in [*groups, ordinary])
        fatal = next((group for group in asked if guilty.intersection(group)), None)
        if fatal is None:
            break
        deaths += 1
        journal(tmp_path).died(fatal, "boom")
    done = {row for row in rows if limits[row] == 0}
    assert done == guilty
    assert deaths <= len(guilty) * (math.log2(len(rows)) + 2)


def test_what_is_noted_of_deaths_is_known_to_later_runs_and_says_why(tmp_path: Path) -> None:
    for _ in range(2):
        journal(tmp_path).died([4], "CUDA error")
    block: BlockReplies = journal(tmp_path).begin([3, 4])
    assert (block.group(3), block.group(4), block.suspects[4].words) == (None, 0, "CUDA error")


def test_whoever_is_alone_waits_for_those_inside_and_keeps_others_out() -> None:
    log = list[str]()

    async def row(gate: Gate, name: str) -> None:
        await gate.enter()
        log.append(f"{name} in")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        log.append(f"{name} out")
        gate.leave()

    async def alone(gate: Gate) -> None:
        async with gate.alone():
            log.append("alone in")
            await asyncio.sleep(0)
            log.append("alone out")

    async def all_of_them() -> None:
        gate = Gate()
        await asyncio.gather(row(gate, "a"), row(gate, "b"), alone(gate), row(gate, "c"))

    asyncio.run(all_of_them())
    assert log == ["a in", "b in", "a out", "b out", "alone in", "alone out", "c in", "c out"]
