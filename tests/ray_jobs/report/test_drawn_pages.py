"""Pages that are drawn: complete, self-contained, right in their numbers, and safe against what models write."""

from __future__ import annotations

import io
import json
import re
import runpy
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from ray_jobs.cli.app import app, main
from ray_jobs.datasets.rule import Rule
from ray_jobs.datasets.select import select
from ray_jobs.datasets.source import open_source
from ray_jobs.errors import OutputError
from ray_jobs.output import ownership
from ray_jobs.output.ownership import MARK
from ray_jobs.output.schema import KEPT, RECORD_SCHEMA
from ray_jobs.report.costs import Prices
from ray_jobs.report.gather import gather
from ray_jobs.report.inputs import read_inputs
from ray_jobs.report.make import write
from ray_jobs.report.measures import MEASURES
from ray_jobs.report.page import INDEX, Page
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.datasets.outputs import Record, read_records, record, write_output
from tests.ray_jobs.report.browser import look, needs_chromium
from tests.ray_jobs.report.compared import write_compared
from tests.ray_jobs.report.pages import NOT_ANALYSED, Parsed, page_of

pytestmark = pytest.mark.slow  # the pictures of a page take seconds


@pytest.fixture(scope="module")
def whole(compared: tuple[Store, list[Record]]) -> tuple[Page, Parsed]:
    return page_of(compared[0], prices=Prices(gpu_hour=2.0))


def test_the_page_needs_nothing_beside_it(whole: tuple[Page, Parsed]) -> None:
    page, parsed = whole
    assert not parsed.named("script")
    sources = [item["src"] for item in parsed.named("img")] + [item["srcset"] for item in parsed.named("source")]
    assert all(source and source.startswith("data:image/png;base64,") for source in sources)
    assert {item["href"] for item in parsed.named("link")} == {"data:,"}
    assert all((item["href"] or "").startswith("#") for item in parsed.named("a"))
    assert not re.search(r"url\(|@import", page.html)
    anchors = {f"#{item['id']}" for item in parsed.named("section")}
    assert {item["href"] for item in parsed.named("a")} < anchors | {"#files"}


def test_every_picture_is_whole_and_described(whole: tuple[Page, Parsed]) -> None:
    page, parsed = whole
    assert len(page.pictures) == 2 * len(parsed.named("img")) == 2 * len(parsed.named("source")) == 28
    assert all(len(item["alt"] or "") > 30 for item in parsed.named("img"))
    for name, data in page.pictures.items():
        with Image.open(io.BytesIO(data)) as image:
            assert image.size[0] == (700 if name.endswith("-narrow.png") else 1410)
            assert len(image.convert("L").getcolors(1 << 16) or ()) > 10
    for name in page.files():
        assert name in parsed.text


def test_the_papers_figure_is_drawn_from_its_counts(shared: Path) -> None:
    program = runpy.run_path(str(Path(__file__).parents[3] / "docs" / "pictures" / "paper_figure2.py"))
    published = json.loads((shared / "reference" / "published_figures.json").read_text())
    with Image.open(io.BytesIO(program["draw"](published))) as image:
        assert image.size[0] == 1410


def test_the_numbers_are_those_of_the_records(compared: tuple[Store, list[Record]], whole: tuple[Page, Parsed]) -> None:
    records, text = compared[1], whole[1].text
    kept = [record for record in records if "status" not in record]
    small = [item for item in kept if item["evolver"] == "small"]
    assert f"kept records{len(kept)}{len(kept) / len(records):.1%} of 240 planned" in text
    tokens = sum(record["prompt_tokens"] + record["completion_tokens"] for record in records) / len(kept)
    assert f"{tokens:,.0f}" in text
    assert f"{sum(item['ic_ifd'] for item in small) / len(small):.3f}" in text
    for reason in ("unchanged", "refusal", "ScoringError"):
        lost = [record for record in records if record.get("reason") == reason and record["evolver"] == "small"]
        assert re.search(rf"{reason}(rejected|failed)(evolve|respond|score){len(lost)}", text.replace("\n", ""))
    assert "60 usable seeds" in text
    assert NOT_ANALYSED not in text
    for name in ("trajectories", "top1", "win"):
        assert f"evolve analyse {compared[0].url} {name}" in text


@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_without_complaint(whole: tuple[Page, Parsed], tmp_path: Path, width: int) -> None:
    path = tmp_path / INDEX
    path.write_text(whole[0].html)
    seen = look(path, width)
    assert seen.messages == []
    assert seen.facts["width"] == width  # nothing makes the page itself scroll sideways
    assert all(drawn for drawn, _, _ in seen.facts["images"])
    assert len(seen.facts["images"]) == 14
    assert all(seen.facts["links"])
    assert seen.facts["small"] == 0


def test_pictures_that_only_an_earlier_page_had_are_removed(whole: tuple[Page, Parsed], target: Store) -> None:
    place = target.below("report")
    write(whole[0], place)
    place.write_bytes("mine.png", b"a picture of somebody's own")
    pictures = set(whole[0].pictures)
    assert {path for path, _ in place.list()} == pictures | {MARK, "index.html", "mine.png"}
    write_output(target, [[record(number) for number in range(6)]])
    page, _ = page_of(target)
    assert 0 < len(page.pictures) < len(pictures)
    write(page, place)
    assert {path for path, _ in place.list()} == {*page.files(), MARK, "mine.png"}


def test_every_picture_is_known_as_ours(whole: tuple[Page, Parsed]) -> None:
    measured = {f"{name.replace('_', '-')}{narrow}.png" for name in MEASURES for narrow in ("", "-narrow")}
    assert ownership.foreign({*whole[0].files(), *measured}, "report") == []


HOSTILE = '</dd></article><script>alert("x")</script><img src=x onerror=alert(1)> & {{ 7 * 7 }} \x00\u202e$\\frac$'


def test_what_models_write_stays_text(target: Store) -> None:
    texts = {name: f"{HOSTILE} {name}" for name in ("instruction", "output", "input", "seed_instruction", "operator")}
    write_compared(target, 3, rounds=1, **texts)
    found = json.loads(target.read_bytes("run.json"))
    found["configuration"]["scorer"]["model"] = HOSTILE
    target.write_bytes("run.json", json.dumps(found).encode())
    page, parsed = page_of(target)
    assert not parsed.named("script")
    assert all((item["src"] or "").startswith("data:") for item in parsed.named("img"))
    assert not any("onerror" in attributes for _, attributes in parsed.tags)
    assert parsed.text.count('<script>alert("x")</script>') > 10
    assert "{{ 7 * 7 }}" in parsed.text
    assert "default-src 'none'" in page.html


def test_answers_that_were_cut_are_told_apart(target: Store) -> None:
    endings = ["length"] * 3 + ["stop"] * 9 + [None] * 4
    rows = [record(number, evolver="only", respond_finish_reason=ending) for number, ending in enumerate(endings)]
    write_output(target, [rows])
    _, parsed = page_of(target)
    assert "ran into their token limit: only 25.0%" in " ".join(parsed.text.split())


def test_a_selection_has_a_page_too(output: Store, target: Store) -> None:
    select(output, target, Rule("ic_ifd", top=10), say=lambda _: None)
    _, parsed = page_of(target)
    assert "A selection holds kept records alone" in parsed.text
    assert "100.0% of 10 with an outcome" in parsed.text


def test_the_command_writes_into_an_object_store(s3_url: str, s3_options: dict[str, Any]) -> None:
    store = open_store(f"{s3_url}/run", s3_options)
    write_output(store, [[record(number, round=1) for number in range(12)]])
    app(["report", store.url, "--storage", json.dumps(s3_options)], standalone_mode=False)
    names = {path.removeprefix("report/") for path, _ in store.list("report")}
    html = store.read_bytes(f"report/{INDEX}").decode()
    assert INDEX in names
    assert all(name in html for name in names - {MARK})
    assert sum(ending.status == KEPT for _, _, ending in gather(read_inputs(store), lambda _: None).endings) > 0


def test_the_command_writes_from_one_object_store_into_another_folder_of_it(
    s3_url: str, s3_options: dict[str, Any]
) -> None:
    store, page = open_store(f"{s3_url}/run", s3_options), open_store(f"{s3_url}/page", s3_options)
    write_output(store, [[record(number, round=1) for number in range(12)]])
    app(["report", store.url, "--to", page.url, "--storage", json.dumps(s3_options)], standalone_mode=False)
    assert INDEX in {path for path, _ in page.list()}
    assert store.list("report") == []


def test_the_command_writes_elsewhere_and_fails_in_one_line(
    target: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_output(target, [[record(number, round=1) for number in range(12)]])
    command = ["report", target.url, "--to", str(tmp_path / "page")]
    for more, code in (["--json"], 0), (["--token-price", "x"], 2):
        with pytest.raises(SystemExit) as ended:
            main([*command, *more])
        assert (ended.value.code or 0) == code
    told = capsys.readouterr()
    report = json.loads(told.out)
    assert report["report"] == f"{tmp_path}/page/index.html"
    assert all(name.endswith(".png") for name in report["pictures"])
    assert report["pictures"]
    assert (tmp_path / "page" / INDEX).stat().st_size > 100_000
    assert not target.exists(f"report/{INDEX}")
    assert "error: " in told.err
    assert "Traceback" not in told.err


def test_selections_stand_beside_a_random_draw(output: Store, tmp_path: Path) -> None:
    best, luck = (open_store(str(tmp_path / name)) for name in ("best", "luck"))
    select(output, best, Rule("ic_ifd", top=10), say=lambda _: None)
    _, alone = page_of(output, selections={"best": best})
    assert "No random draw is shown" in alone.text
    select(output, luck, Rule("random", top=10, seed=4), say=lambda _: None)
    _, parsed = page_of(output, selections={"best": best, "luck": luck})
    assert "No random draw is shown" not in parsed.text
    assert "highest 10 by ic_ifd" in parsed.text
    assert "10 at random, seed 4" in parsed.text
    scores = [record["ic_ifd"] for record in read_records(luck)]
    assert f"{sum(scores) / len(scores):.3f}" in parsed.text
    with pytest.raises(OutputError, match=r"selection\.json"):
        page_of(output, selections={"run": output})


def with_positions(number: int) -> Record:
    """A record whose reply had five first positions at 0.97 and ten others at 0.12."""
    first, rest = [0] * 20, [0] * 20
    first[19], rest[2] = 5, 10
    return record(number, mean_top1_prob=0.4, top1_counts_first=first, top1_counts_rest=rest)


def test_top1_is_a_density_over_positions_and_the_mean_stays(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    write_output(store, [[with_positions(number) for number in range(30)]])
    page, parsed = page_of(store)
    assert {"top1-positions.png", "mean-top1-prob.png"} <= page.pictures.keys()
    text = "".join(parsed.text.split())
    # of 15 positions ten are below 0.3; of the first five none
    assert "largeround1,allpositions7566.7%0.1433.3%" in text
    assert "largeround1,firstfivepositions250.0%0.98100.0%" in text


def test_an_output_that_went_on_under_a_version_with_more_columns_is_read_whole(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    old = pa.schema([item for item in RECORD_SCHEMA if not item.name.startswith("top1_counts")])
    write_output(store, [[record(number) for number in range(30)]], old)
    write_output(store, [[with_positions(number) for number in range(30, 60)]])
    source = open_source(store)
    assert source.schema.names == RECORD_SCHEMA.names
    rows = pa.Table.from_batches(list(source.batches()))
    assert (rows.num_rows, rows["top1_counts_first"].null_count) == (60, 30)
    _, parsed = page_of(store)
    assert "all positions" in parsed.text
