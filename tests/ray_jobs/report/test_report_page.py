"""The page of an output: complete, self-contained, right in its numbers, and safe against what models write."""

from __future__ import annotations

import io
import json
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from ray_jobs.cli.app import app
from ray_jobs.config.kinds import ANALYSES
from ray_jobs.datasets.rule import Rule
from ray_jobs.datasets.select import select
from ray_jobs.datasets.source import open_source
from ray_jobs.errors import ConfigError, DamagedOutput, OutputError
from ray_jobs.output import ownership
from ray_jobs.output.epochs import add_part
from ray_jobs.output.ownership import MARK
from ray_jobs.output.parts import write_part
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.output.schema import KEPT, RECORD_SCHEMA
from ray_jobs.report import plots
from ray_jobs.report.analysed import read_analyses
from ray_jobs.report.costs import Prices, money_per_kept, parse_token_prices, pool_costs
from ray_jobs.report.gather import gather
from ray_jobs.report.inputs import read_inputs
from ray_jobs.report.make import report, write
from ray_jobs.report.measures import MEASURES
from ray_jobs.report.page import INDEX, Page
from ray_jobs.report.style import figure
from ray_jobs.report.view import OFFERED
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.datasets.outputs import Record, read_records, record, write_output
from tests.ray_jobs.report.browser import look, needs_chromium
from tests.ray_jobs.report.compared import write_analyses, write_compared, write_table
from tests.ray_jobs.samples import finished, kept_round, new_epoch, outcomes, rejected_round, unreadable_round

NOT_ANALYSED = "Not analysed. To measure it, run"


class Parsed(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(store: Store, **options: Any) -> tuple[Page, Parsed]:
    page = report(store, store.url, say=lambda _: None, **options)
    return page, Parsed(page.html)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[Record]]:
    store = open_store(str(tmp_path_factory.mktemp("compared") / "run"))
    records = write_compared(store, 60, parts=2)
    write_analyses(store, records)
    return store, records


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


def test_the_same_numbers_give_the_same_picture() -> None:
    counts = {"small": [3, 2], "$large_1$": [3, 1]}
    item, again = (figure("funnel", "", "", plots.funnel(["planned", "kept"], counts)) for _ in range(2))
    assert item == again
    assert figure("funnel", "", "", plots.funnel(["planned", "kept"], {"small": [3, 1]})).wide != item.wide


@pytest.mark.filterwarnings("error::UserWarning")
def test_a_single_bar_has_room_below_a_legend_of_four_lines() -> None:
    kinds = ["prompt, kept", "completion, kept", "prompt, lost", "completion, lost"]
    paint = plots.stacked_amounts({"an evolver": [1.0, 2.0, 3.0, 4.0]}, kinds, "tokens a kept record")
    figure("tokens", "", "", paint)  # matplotlib warns where it cannot lay the parts of a picture out


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


@pytest.mark.parametrize("where", ["run", "run/data", "run/report/x", ".", "site"])
def test_a_report_is_written_only_to_a_place_of_its_own(
    compared: tuple[Store, list[Record]], tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(compared[0].url)
    monkeypatch.chdir(run.parent if where != "site" else tmp_path)
    if where == "site":
        (tmp_path / "site").mkdir()
        (tmp_path / "site/index.html").write_text("<p>mine</p>")
    before = sorted(path for path, _ in compared[0].list())
    with pytest.raises(OutputError, match=r"place"):
        app(["report", str(run), "--to", where], standalone_mode=False)
    assert sorted(path for path, _ in compared[0].list()) == before
    if where == "site":
        assert (tmp_path / "site/index.html").read_text() == "<p>mine</p>"


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


def test_one_evolver_without_scorer_and_some_columns(target: Store) -> None:
    """An output as an engine without token probabilities and a run without a scorer leave it, and an older one."""
    missing = {"mean_top1_prob", "operator", "seed_index", "completion_tokens"}
    schema = pa.schema([item for item in RECORD_SCHEMA if item.name not in missing])
    unscored = dict.fromkeys(("loss_q", "loss_a_given_q", "loss_a"))
    rows = [record(number, evolver="only", **unscored) for number in range(30)]
    write_output(target, [rows], schema)
    _, parsed = page_of(target)
    for said in (
        "It takes a run of two or more evolvers to compare any.",
        "IC-IFD: no kept record has a value.",
        "top-1 probability: no kept record has a value.",
        "No record names an operator.",
        "No kept record has an IC-IFD, so there are no ends to show.",
        "No record was rejected and none failed.",
        f"{NOT_ANALYSED} evolve analyse {target.url} difficulty",
        f"{NOT_ANALYSED} evolve analyse {target.url} diversity",
    ):
        assert said in parsed.text


def write_rows(store: Store, rows: pa.Table) -> None:
    """Commit finished rows as a part of a run."""
    epoch = new_epoch(store)
    epoch.add_plan(PlanIndex(rows=100), 0)
    entry = write_part(store, epoch.lease.tag, *outcomes(rows), rows["plan_row"].to_numpy())
    add_part(store, epoch.lease, entry)


def test_a_run_of_which_nothing_was_kept(target: Store) -> None:
    rows = finished({0: [rejected_round(1), rejected_round(2)], 1: [rejected_round(1), rejected_round(2)]})
    write_rows(target, rows)
    target.write_bytes("run.json", b'{"run_id": "run", "records_per_row": 2}')
    _, parsed = page_of(target)
    assert "not finished" in parsed.text
    assert "0.0% of 4 with an outcome" in parsed.text
    assert "unchanged" in parsed.text


def test_seeds_that_could_not_be_read_are_told_apart(target: Store) -> None:
    write_rows(target, finished({0: [kept_round(1)]}))
    write_rows(target, finished({1: [unreadable_round()]}, evolver=None))
    target.write_bytes("run.json", b'{"run_id": "run"}')
    inputs = read_inputs(target)
    gathered = gather(inputs, lambda _: None)
    assert inputs.evolvers == ["a"]
    assert gathered.kept("a") == 1
    assert [ending.stage for (name, _, ending) in gathered.endings if name == ""] == ["read"]


def test_pairs_that_were_only_scored(target: Store) -> None:
    write_output(target, [[record(number, evolver=None, operator=None, round=0) for number in range(20)]])
    _, parsed = page_of(target)
    assert "mean IC-IFD, pairs" in parsed.text
    assert "as given" in parsed.text


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


def test_costs_are_shared_by_what_reached_a_pool(compared: tuple[Store, list[Record]]) -> None:
    store, records = compared
    inputs = read_inputs(store)
    gathered = gather(inputs, lambda _: None)
    prices = Prices(2.0, parse_token_prices(["respond=1/3", "0.5"]))
    costs = {cost.name: cost for cost in pool_costs(inputs, prices)}
    # an hour of one GPU at 2 and of the responder's four; 10,000 prompt and 5,000 completion tokens each
    assert costs["evolve_small"].money == pytest.approx(2 + 0.5 * 15_000 / 1e6)
    assert costs["respond"].money == pytest.approx(8 + (1 * 10_000 + 3 * 5_000) / 1e6)
    assert costs["score"].money == pytest.approx(0.5 * 15_000 / 1e6)
    small, large = ([record for record in records if record["evolver"] == name] for name in ("small", "large"))

    def share(stages: set[str]) -> float:
        reached = [sum("status" not in item or item["stage"] in stages for item in ones) for ones in (small, large)]
        return reached[0] / sum(reached)

    expected = costs["evolve_small"].money or 0
    expected += (costs["respond"].money or 0) * share({"respond", "score"})
    expected += (costs["score"].money or 0) * share({"score"})
    kept = sum("status" not in item for item in small)
    assert money_per_kept(costs.values(), gathered, "small") == pytest.approx(expected / kept)
    assert money_per_kept(pool_costs(inputs, Prices()), gathered, "small") is None


def test_every_pool_of_a_run_is_billed_its_gpus(compared: tuple[Store, list[Record]]) -> None:
    inputs = read_inputs(compared[0])
    hour = {"seconds": 3600.0, "prompt_tokens": 0, "completion_tokens": 0}
    judged = replace(inputs, run={"pools": {"quality": {"gpus": 2}, "nli": {"gpus": 0.5}}})
    (quality, nli) = pool_costs(replace(judged, pools={"quality": hour, "nli": hour}), Prices(gpu_hour=2))
    assert (quality.money, nli.money) == (4, 1)


@pytest.mark.parametrize("text", ["", "x", "1/2/3", "-1", "=1", "small=", "nan", "inf"])
def test_other_prices_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected PRICE, PROMPT/COMPLETION or POOL=PROMPT/COMPLETION"):
        parse_token_prices([text])


def test_wrong_use_is_told(compared: tuple[Store, list[Record]], tmp_path: Path) -> None:
    store, _ = compared
    with pytest.raises(ConfigError, match="--baseline medium: expected an evolver of the output, one of small, large"):
        page_of(store, baseline="medium")
    with pytest.raises(ConfigError, match="--token-price small: expected a pool of the run, one of evolve_large"):
        page_of(store, prices=Prices(tokens={"small": (1, 1)}))
    with pytest.raises(OutputError, match="expected the output of a run"):
        page_of(open_store(str(tmp_path)))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("analyses/win/summary.json", b'{"n": 3}', "expected a list with an entry for each round"),
        ("analyses/win/summary.json", b"[", "expected a list with an entry for each round"),
    ],
)
def test_a_damaged_summary_is_told(output: Store, name: str, data: bytes, message: str) -> None:
    output.write_bytes(name, data)
    output.write_bytes("analyses/win/_SUCCESS", b"")
    with pytest.raises(DamagedOutput, match=message):
        page_of(output)


def test_a_table_without_its_column_is_told(output: Store) -> None:
    write_table(output, "diversity", pa.table({"record_id": ["a"], "evolver": ["small"], "round": [1]}))
    output.write_bytes("analyses/diversity/_SUCCESS", b"")
    with pytest.raises(DamagedOutput, match="expected the column neighbour_distance"):
        page_of(output)


def test_every_analysis_is_offered() -> None:
    assert sorted(OFFERED) == sorted(ANALYSES.names())


def test_an_unfinished_analysis_does_not_count(output: Store) -> None:
    write_table(output, "diversity", pa.table({"record_id": ["a"]}))
    assert read_analyses(output, gather(read_inputs(output), lambda _: None)) == {}


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


def test_the_command_writes_elsewhere_and_fails_in_one_line(target: Store, tmp_path: Path) -> None:
    write_output(target, [[record(number, round=1) for number in range(12)]])
    command = [sys.executable, "-m", "ray_jobs.cli", "report", target.url, "--to", str(tmp_path / "page")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"report: {tmp_path}/page/index.html" in done.stdout
    assert (tmp_path / "page" / INDEX).stat().st_size > 100_000
    assert not target.exists(f"report/{INDEX}")
    refused = subprocess.run([*command, "--token-price", "x"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_selections_stand_beside_a_random_draw(compared: tuple[Store, list[Record]], tmp_path: Path) -> None:
    store, _ = compared
    best, luck = (open_store(str(tmp_path / name)) for name in ("best", "luck"))
    select(store, best, Rule("ic_ifd", top=10), say=lambda _: None)
    _, alone = page_of(store, selections={"best": best})
    assert "No random draw is shown" in alone.text
    select(store, luck, Rule("random", top=10, seed=4), say=lambda _: None)
    _, parsed = page_of(store, selections={"best": best, "luck": luck})
    assert "No random draw is shown" not in parsed.text
    assert "highest 10 by ic_ifd" in parsed.text
    assert "10 at random, seed 4" in parsed.text
    scores = [record["ic_ifd"] for record in read_records(luck)]
    assert f"{sum(scores) / len(scores):.3f}" in parsed.text
    with pytest.raises(OutputError, match=r"selection\.json"):
        page_of(store, selections={"run": store})


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
