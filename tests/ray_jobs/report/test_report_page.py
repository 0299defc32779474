"""The page of an output: complete, self-contained, right in its numbers, and safe against what models write."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from ray_jobs.cli.app import app
from ray_jobs.config.kinds import ANALYSES
from ray_jobs.errors import ConfigError, DamagedOutput, OutputError
from ray_jobs.output.epochs import add_part
from ray_jobs.output.parts import write_part
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.output.schema import RECORD_SCHEMA
from ray_jobs.report import plots
from ray_jobs.report.analysed import read_analyses
from ray_jobs.report.costs import Prices, money_per_kept, parse_token_prices, pool_costs
from ray_jobs.report.gather import gather
from ray_jobs.report.inputs import read_inputs
from ray_jobs.report.style import figure
from ray_jobs.report.view import OFFERED
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.datasets.outputs import Record, record, write_output
from tests.ray_jobs.report.compared import write_table
from tests.ray_jobs.report.pages import NOT_ANALYSED, page_of
from tests.ray_jobs.samples import finished, kept_round, new_epoch, outcomes, rejected_round, unreadable_round


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
    assert "Several answers" not in parsed.text
    assert "Preference pairs" not in parsed.text


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
    pools = {"quality": hour, "nli": {**hour, "replies_given_again": 3}}
    (quality, nli) = pool_costs(replace(judged, pools=pools), Prices(gpu_hour=2))
    assert (quality.money, nli.money) == (4, 1)
    assert (quality.given_again, nli.given_again) == (0, 3)


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
