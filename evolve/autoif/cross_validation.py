"""Functions and cases confirm each other (arXiv 2406.13542, Section 3.1, "cross-validation").

First each case is judged by all functions, then each function by the cases that were kept. A call that gives no
verdict agrees with nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evolve.autoif.records import Case, Check, Dropped, Kind, ScoredFunction, Verification
from evolve.autoif.rules import CrossValidation
from evolve.sandbox.records import CheckError, CheckResult, Verdict

_DOES_NOT_LOAD = ("syntax", "import", "no_evaluate")


@dataclass(frozen=True, slots=True)
class CrossValidated:
    """What is left of an instruction's functions and cases. `reason` says why the instruction itself falls."""

    instruction: str
    functions: tuple[ScoredFunction, ...]
    cases: tuple[Case, ...]
    dropped: tuple[Dropped, ...]
    reason: str | None = None

    @property
    def kept(self) -> bool:
        """Whether the instruction goes on."""
        return self.reason is None


@dataclass
class _State:
    """The functions and cases still standing, and those that fell, each once."""

    answers: dict[str, Sequence[CheckResult]]
    cases: list[Case]
    dropped: list[Dropped]

    def fall(self, kind: Kind, reason: str, text: str, detail: str = "") -> None:
        self.dropped.append(Dropped("cross_validate", kind, reason, text, detail))


def cross_validate(
    instruction: str, verifications: Sequence[Verification], rules: CrossValidation, check: Check
) -> CrossValidated:
    """Keep the functions and cases that agree as `rules` ask. `check` is called once a distinct function."""
    state = _State({}, [], [])
    functions = _distinct(state, "function", [_cleaned(verification.function, rules) for verification in verifications])
    cases = {(case.input, case.expected): case for verification in verifications for case in verification.cases}
    _repeats(state, verifications, cases)
    state.cases = list(cases.values())
    reason = _too_few(len(functions), len(state.cases), rules)
    if reason is None:
        inputs = [case.input for case in state.cases]
        state.answers = {source: check(source, inputs) for source in functions}
        _drop_unloadable(state)
        reason = _too_few(len(state.answers), len(state.cases), rules)
    if reason is not None:
        return _dropped(instruction, reason, state)
    kept = _judge_cases(state, rules)
    if not kept:
        return _dropped(instruction, "no_case_kept", state)
    scored = _judge_functions(state, kept, rules)
    if not scored:
        return _dropped(instruction, "no_function_kept", state)
    return CrossValidated(instruction, tuple(scored), tuple(state.cases[place] for place in kept), tuple(state.dropped))


def agrees(result: CheckResult, expected: bool) -> bool:
    """Whether a call gave the expected verdict."""
    return isinstance(result, Verdict) and result.holds == expected


def _dropped(instruction: str, reason: str, state: _State) -> CrossValidated:
    state.fall("instruction", reason, instruction)
    return CrossValidated(instruction, (), (), tuple(state.dropped), reason)


def _too_few(functions: int, cases: int, rules: CrossValidation) -> str | None:
    if functions < rules.min_functions:
        return "too_few_functions"
    return "too_few_cases" if cases < rules.min_cases else None


def _cleaned(source: str, rules: CrossValidation) -> str:
    lines = source.strip("\n").split("\n")
    return "\n".join(line for line in lines if not any(word in line for word in rules.drop_lines_with))


def _distinct(state: _State, kind: Kind, texts: Sequence[str]) -> list[str]:
    seen: dict[str, None] = {}
    for text in texts:
        if text in seen:
            state.fall(kind, "duplicate", text)
        seen[text] = None
    return list(seen)


def _repeats(state: _State, verifications: Sequence[Verification], cases: dict[tuple[str, bool], Case]) -> None:
    """Record the cases of which an equal one is already in `cases`."""
    left = set(cases)
    for verification in verifications:
        for case in verification.cases:
            key = (case.input, case.expected)
            if key not in left:
                state.fall("case", "duplicate", case.input, f"expected {case.expected}")
            left.discard(key)


def _drop_unloadable(state: _State) -> None:
    """Functions that cannot even be loaded do not count among those that the rules ask for."""
    for source, results in list(state.answers.items()):
        errors = [result for result in results if isinstance(result, CheckError) and result.kind in _DOES_NOT_LOAD]
        if len(errors) == len(results):
            state.fall("function", errors[0].kind, source, errors[0].detail)
            del state.answers[source]


def _judge_cases(state: _State, rules: CrossValidation) -> list[int]:
    """The places of the cases with which enough functions agree."""
    kept = []
    for index, case in enumerate(state.cases):
        share = _share([agrees(results[index], case.expected) for results in state.answers.values()])
        if rules.case.met(share):
            kept.append(index)
        else:
            state.fall("case", "agreement", case.input, f"expected {case.expected}, agreement {share:.3f}")
    return kept


def _judge_functions(state: _State, kept: Sequence[int], rules: CrossValidation) -> list[ScoredFunction]:
    scored = []
    for source, results in state.answers.items():
        accuracy = _share([agrees(results[place], state.cases[place].expected) for place in kept])
        if rules.function.met(accuracy):
            scored.append(ScoredFunction(source, accuracy))
        else:
            state.fall("function", *_why_wrong(source, [results[place] for place in kept], accuracy))
    return scored


def _why_wrong(source: str, results: Sequence[CheckResult], accuracy: float) -> tuple[str, str, str]:
    """The reason, text and detail: an error's kind where no call gave a verdict, else the accuracy."""
    errors = [result for result in results if isinstance(result, CheckError)]
    if len(errors) == len(results):
        return errors[0].kind, source, errors[0].detail
    return "accuracy", source, f"{accuracy:.3f}, {len(errors)} of {len(results)} calls without a verdict"


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits)
