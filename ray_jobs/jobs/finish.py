"""The steps at the end of a run. They read what the run has committed, and none of them can undo it.

A step that is done already is not done again, so the command that resumes a run also resumes its steps.
"""

from __future__ import annotations

from collections.abc import Callable

from ray_jobs.config.base import Kind
from ray_jobs.datasets.score_columns import random_column, score_column
from ray_jobs.datasets.select import select
from ray_jobs.datasets.selection_files import CONTENTS
from ray_jobs.datasets.source import SELECTION, Source, open_source
from ray_jobs.errors import ConfigError, JobError, Stopped
from ray_jobs.jobs.analysis.analyse import analyse, check_analysis, folder_of
from ray_jobs.jobs.analysis.config import AnalysisKind, AnalysisRunConfig
from ray_jobs.jobs.finish_config import FinishingConfig, ReportConfig, SelectConfig
from ray_jobs.output import ownership
from ray_jobs.output.run_files import read_json
from ray_jobs.report.costs import Prices, parse_token_prices
from ray_jobs.storage.store import Store, open_store
from ray_jobs.storage.urls import options_for

Say = Callable[[str], None]


def check_finish(run: FinishingConfig) -> None:
    """Check what can be checked before the run: models, templates, the evolver of a report. Raises ConfigError."""
    for number, step in enumerate(run.finish):
        try:
            _check(run, step)
        except JobError as error:
            raise type(error)(f"finish.{number}: {error}") from None


def finish(run: FinishingConfig, verbose: bool = False, say: Say = print) -> None:
    """Do the steps one after the other. What goes wrong with one keeps none of the others from being done.

    Raises Stopped at once, and at the end the first step's error, saying which step it was.
    """
    failed: JobError | None = None
    for number, step in enumerate(run.finish):
        say(f"finish.{number}: {step.kind}")
        try:
            _do(run, step, verbose, say)
        except Stopped:
            raise
        except JobError as error:
            say(f"finish.{number}: {step.kind} has failed: {error}")
            failed = failed or type(error)(f"the run is finished, but finish.{number}, {step.kind}, failed: {error}")
    if failed:
        raise failed


def _check(run: FinishingConfig, step: Kind) -> None:
    match step:
        case SelectConfig():
            # its rule was made when it was read; which scores there are, the output will say
            target = _open(step.target, run)
            ownership.refuse_overlap(target, open_store(run.output, run.storage))
            if not target.exists(SELECTION):
                ownership.check_place(target, CONTENTS.kind)
        case ReportConfig():
            parse_token_prices(step.token_price)
            if step.baseline is not None and step.baseline not in run.evolvers:
                raise ConfigError(f"baseline: expected one of {', '.join(run.evolvers)}, got {step.baseline}")
        case AnalysisKind():
            check_analysis(_analysis(run, step))


def _do(run: FinishingConfig, step: Kind, verbose: bool, say: Say) -> None:
    match step:
        case SelectConfig():
            _select(open_store(run.output, run.storage), run, step, say)
        case ReportConfig():
            _report(open_store(run.output, run.storage), run, step, say)
        case AnalysisKind():
            analyse(_analysis(run, step), verbose, say)


def _analysis(run: FinishingConfig, step: AnalysisKind) -> AnalysisRunConfig:
    return AnalysisRunConfig(
        source=run.output,
        output=folder_of(run.output, step.short_name),
        storage=run.storage,
        limits=run.limits,
        ray=run.ray,
        analysis=step,
    )


def _select(store: Store, run: FinishingConfig, step: SelectConfig, say: Say) -> None:
    target = _open(step.target, run)
    if _is_there(open_source(store), target, step):
        say(f"{target.url}: is there already, from the same records by the same rule")
        return
    benchmarks = _open(step.decontaminate, run) if step.decontaminate else None
    selection = select(store, target, step.rule(), benchmarks, say)
    for reason, count in selection.totals.items():
        say(f"{count:>12,} {reason.label}")


def _report(store: Store, run: FinishingConfig, step: ReportConfig, say: Say) -> None:
    # here, for it costs the import of matplotlib
    from ray_jobs.report import make as pages

    prices = Prices(step.gpu_hour_price, parse_token_prices(step.token_price))
    chosen = {item.target: _open(item.target, run) for item in run.finish if isinstance(item, SelectConfig)}
    there = {target: folder for target, folder in chosen.items() if folder.exists(SELECTION)}
    place = pages.check_place(store, None)
    page = pages.report(store, run.output, prices, step.baseline, say, there)
    say(f"report: {pages.write(page, place)[-1]}")


def _open(place: str, run: FinishingConfig) -> Store:
    # the run's options are for its file system, unless this is a place on local disk
    return open_store(place, options_for(place, run.storage))


def _is_there(source: Source, target: Store, step: SelectConfig) -> bool:
    if not target.exists(SELECTION):
        return False
    account = read_json(target, SELECTION)
    rule = step.rule()
    column = random_column(rule.seed) if rule.seed is not None else score_column(source, rule.by)
    ordered = rule.ordered(column.order).to_json()
    return bool(account["rule"] == ordered and account["source"]["fingerprint"] == source.origin["fingerprint"])
