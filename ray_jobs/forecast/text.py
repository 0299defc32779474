"""A forecast in lines for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ray_jobs.forecast.forecast import Forecast, PoolForecast
from ray_jobs.forecast.plan import ForecastAnswer, headline
from ray_jobs.runner.progress import in_clock

POOL_HEADINGS = ("pool", "actors", "rows", "tokens", "tokens/s", "could do", "busy", "loads in", "GPU-hours", "cost")
Range = tuple[float, float]
Show = Callable[[float], str]


def describe(found: ForecastAnswer) -> Iterator[str]:
    """The forecast line by line: totals with their ranges, pools, what holds them up, what it rests on."""
    if found.forecast is None:
        yield "nothing is left to do"
        return
    forecast = found.forecast
    yield ""
    yield from _totals(forecast, found.ranges)
    yield ""
    yield from _pools(forecast)
    yield ""
    yield from _balance(forecast)
    yield ""
    yield from _grounds(found)


def describe_phases(found: Mapping[str, ForecastAnswer]) -> Iterator[str]:
    """The forecast of a job of several phases: each, and what they come to one after the other."""
    for name, answer in found.items():
        yield ""
        yield f"== {name}: {sum(answer.rows_left.values()):,} rows to do, {answer.rows_done:,} done"
        yield from describe(answer)
    going = [answer.forecast for answer in found.values() if answer.forecast]
    yield ""
    seconds, tokens = sum(item.seconds for item in going), sum(item.tokens for item in going)
    yield (
        f"together   {in_clock(seconds)}, {tokens:,.0f} tokens, "
        f"{sum(item.gpu_hours for item in going):,.2f} GPU-hours, cost {sum(item.cost for item in going):,.2f}"
    )


def _totals(forecast: Forecast, ranges: Mapping[str, Range]) -> Iterator[str]:
    numbers = headline(forecast)
    shown = {
        "rows": f"{forecast.rows:,}",
        "records": ", ".join(f"{count:,.0f} {status}" for status, count in forecast.records.items()) or "not stated",
        "rows/s": _with_range(numbers["rows_per_second"], ranges.get("rows_per_second"), lambda x: f"{x:,.2f}"),
        "time": f"{_with_range(forecast.seconds, ranges.get('seconds'), in_clock)}: {in_clock(forecast.load_seconds)} "
        f"models load, {in_clock(forecast.stream_seconds)} rows stream, {in_clock(forecast.passage_seconds)} the first "
        "and last are on their way",
        "tokens": _with_range(forecast.tokens, ranges.get("tokens"), lambda x: f"{x:,.0f}"),
        "output": _with_range(forecast.bytes / 1e6, _scaled(ranges.get("bytes"), 1e-6), lambda x: f"{x:,.1f}") + " MB",
        "GPU-hours": _with_range(forecast.gpu_hours, ranges.get("gpu_hours"), lambda x: f"{x:,.2f}"),
        "cost": _with_range(forecast.cost, ranges.get("cost"), lambda x: f"{x:,.2f}")
        if forecast.cost
        else "no pool has a price",
    }
    for name, text in shown.items():
        yield f"{name:<10} {text}"


def _pools(forecast: Forecast) -> Iterator[str]:
    rows = [POOL_HEADINGS, *(_pool_cells(pool, forecast) for pool in forecast.pools)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(POOL_HEADINGS))]
    for row in rows:
        first, *others = (
            cell.ljust(width) if not index else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join((first, *others)).rstrip()


def _pool_cells(pool: PoolForecast, forecast: Forecast) -> tuple[str, ...]:
    return (
        pool.name,
        f"{pool.actors:,}",
        f"{pool.rows:,}",
        f"{pool.prompt_tokens + pool.completion_tokens:,.0f}",
        f"{pool.tokens_per_second:,.0f}",
        f"{pool.most_tokens_per_second:,.0f}",
        f"{pool.stream_seconds / forecast.stream_seconds:.0%}",
        in_clock(pool.load_seconds),
        f"{pool.gpu_hours:,.2f}",
        f"{pool.cost:,.2f}",
    )


def _balance(forecast: Forecast) -> Iterator[str]:
    sizes = {pool.name: pool.actors for pool in forecast.pools}
    yield f"bottleneck {forecast.bottleneck}: the other pools wait for it"
    if dict(forecast.lean) != sizes:
        yield f"as fast    with fewer actors: {_sizes(forecast.lean)}"
    if forecast.fast_stream_seconds < 0.999 * forecast.stream_seconds:
        faster = forecast.stream_seconds / forecast.fast_stream_seconds
        yield f"faster     {faster:.2f} times, with no more GPUs (or actors): {_sizes(forecast.fast)}"


def _grounds(found: ForecastAnswer) -> Iterator[str]:
    if found.sampled_seeds:
        outcomes = ", ".join(f"{count:,} {what}" for what, count in found.outcomes.items())
        yield f"From {found.sampled_seeds:,} {'seeds' if found.ranges else 'rows'}, whose records were: {outcomes}."
    if found.ranges:
        yield (
            "Ranges: 95 % of the forecasts from resampled seeds. They cover how seeds differ in tokens and in the time "
            "that these take, not whether engines keep the speed that one actor had alone, and not waiting for "
            "machines, restarts and lost work."
        )
    elif not found.sampled_seeds:
        yield "From stated rates: no range is known."
    lower = [name for name, rate in found.rates.pools.items() if not rate.full]
    if lower:
        yield f"The sample did not fill the engines of {', '.join(lower)}: they are at least this fast; see --sample."


def _sizes(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {size}" for name, size in sizes.items())


def _scaled(pair: Range | None, factor: float) -> Range | None:
    return (pair[0] * factor, pair[1] * factor) if pair else None


def _with_range(number: float, pair: Range | None, show: Show) -> str:
    return show(number) + (f" ({show(pair[0])} to {show(pair[1])})" if pair else "")
