"""What the parsers make of replies as models give them."""

from __future__ import annotations

import json

import pytest

from evolve.autoif.augment import parse_instructions
from evolve.autoif.back_translation import parse_description
from evolve.autoif.loose import unescaped
from evolve.autoif.nli import parse_label
from evolve.autoif.quality import parse_score
from evolve.autoif.records import Case, Reply
from evolve.autoif.verification import expected_output, parse_verification

FUNCTION = 'def evaluate(response):\n    return "\\n" in response'
PLAIN = json.dumps({"func": FUNCTION, "cases": [{"input": "a\nb", "output": True}, {"input": "", "output": "False"}]})
CASES = (Case("a\nb", True), Case("", False))


@pytest.mark.parametrize(
    "reply",
    [
        PLAIN,
        f"```json\n{PLAIN}\n```",
        f"```\n{PLAIN}\n```\nI hope this helps {{}}!",
        f"Here you are. The set {{1, 2}} is not JSON, nor is {{}}.\n\n{PLAIN}",
        PLAIN.replace("true", "True"),
        PLAIN.replace("true", '" TRUE "'),
        json.dumps(json.loads(PLAIN), indent=2),
        f'<think>Maybe {{"func": "..."}}?</think>\n{PLAIN}',
        f'Maybe {{"func": "..."}}?\n</think>\n\n```json\n{PLAIN}\n```',
    ],
    ids=[
        "bare",
        "json fence",
        "plain fence",
        "prose",
        "python word",
        "string",
        "indented",
        "thoughts",
        "tag of prompt",
    ],
)
def test_verifications_are_found(reply: str) -> None:
    found, dropped = parse_verification(reply)
    assert found is not None
    assert (found.function, found.cases, dropped) == (FUNCTION, CASES, [])


@pytest.mark.parametrize("reply", [f"<think>Perhaps {PLAIN}", f"<think>{PLAIN}</think>\nI cannot tell."])
def test_thoughts_hold_no_function(reply: str) -> None:
    found, (dropped,) = parse_verification(reply)
    assert (found, dropped.reason) == (None, "no_json")


def test_a_tag_within_a_function_is_no_end_of_thoughts() -> None:
    function = "def evaluate(response): return '</think>' in response"
    found, _ = parse_verification(json.dumps({"func": function, "cases": [{"input": "a", "output": False}]}))
    assert found is not None
    assert found.function == function


CODE = FUNCTION.replace("\\n", "n")
LISTED = '"cases": [{"input": "a", "output": true}]'


@pytest.mark.parametrize(
    "reply",
    [
        f'{{"func": """{CODE}""", {LISTED}}}',
        f"{{'func': '''{CODE}''', 'cases': [{{'input': 'a', 'output': True}}]}}",
        f'```\n{{"func": ```python\n{CODE}\n```, {LISTED}}}\n```',
        f"~~~json\n{json.dumps({'func': f'```python{chr(10)}{CODE}{chr(10)}```'})[:-1]}, {LISTED}}}\n~~~",
        f'{{"func": {json.dumps(CODE)}, "cases": [{{"input": "a", "output": true,}},],}}',
        f"{{'func': {CODE!r}, 'cases': [{{'input': 'a', 'output': True}}]}}",
        f'{{\n  "func": r"""\n{CODE}\n""",  # the function\n  {LISTED},\n}}',
        f'{{"func": `{CODE}`, {LISTED}}} // done',
        f"{{'func': {CODE[:30]!r} + {CODE[30:]!r} /* done */, {LISTED}}}",
        f'{{"func": ({json.dumps(CODE[:30])}\n  {json.dumps(CODE[30:])}), {LISTED}}}',
        f'{{func: {json.dumps(CODE)}, cases: [{{input: "a", output: true}}]}}',
        f'{{"func": "{CODE}", {LISTED}}}',
        f'{{"func": {json.dumps(CODE)},, {LISTED}',
        f'First {{\'x\': 1}} and {{"y"}}, then {{"func": {json.dumps(CODE)}, {LISTED[:-1]},]}}',
    ],
    ids=[
        *["triple", "python", "fence", "fenced text", "commas", "quotes", "raw", "backticks"],
        *["joined", "side by side", "no quotes", "bare quotes", "no end", "prose"],
    ],
)
def test_replies_in_no_json_are_read(reply: str) -> None:
    found, dropped = parse_verification(reply)
    assert found is not None
    assert (found.function, found.cases, dropped) == (CODE, (Case("a", True),), [])


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"re.findall('\d+', response)", r"re.findall('\d+', response)"),
        (r"\'x\' in response", "'x' in response"),
        (r"\"x\" in response", '"x" in response'),
        ("one\ntwo", "one\ntwo"),
        (r"'\\n' + r'\w'", r"'\n' + r'\w'"),
    ],
)
def test_slips_in_strings_are_mended(written: str, meant: str) -> None:
    found, _ = parse_verification('{"func": "' + written + '", "cases": [{"input": "x", "output": True}]}')
    assert found is not None
    assert found.function == meant


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "no_json"),
        ("I cannot write such a function.", "no_json"),
        ('```json\n{"func": "def evaluate(resp', "malformed_json"),
        ('{"function": "def evaluate(response): return True", "cases": []}', "malformed_json"),
        ('{"func": null, "cases": []}', "no_function"),
        ('{"func": "  ", "cases": []}', "no_function"),
        ('{"func": ["def evaluate(response): return True"], "cases": []}', "no_function"),
        ('{"func": ' + "[" * 100_000, "malformed_json"),
    ],
)
def test_replies_without_a_function_fall_whole(reply: str, reason: str) -> None:
    found, dropped = parse_verification(reply)
    assert found is None
    assert [(item.kind, item.reason, item.text) for item in dropped] == [("reply", reason, reply)]


@pytest.mark.parametrize(
    ("cases", "reason"),
    [
        ([{"input": 3, "output": True}], "input_not_text"),
        ([{"output": True}], "input_not_text"),
        (["x"], "input_not_text"),
        ([{"input": "x", "output": "maybe"}], "output_not_boolean"),
        ([{"input": "x", "output": 1}], "output_not_boolean"),
        ([{"input": "x"}], "output_not_boolean"),
        ([], "no_cases"),
        ("x", "no_cases"),
        (None, "no_cases"),
    ],
)
def test_cases_fall_alone(cases: object, reason: str) -> None:
    found, dropped = parse_verification(json.dumps({"func": FUNCTION, "cases": cases}))
    assert found is not None
    assert found.cases == ()
    assert [(item.kind, item.reason) for item in dropped] == [("case", reason)]


@pytest.mark.parametrize("reply", ['{{"n": {digits}, "func": "x"}}', "{{'n': {digits}, 'func': 'x'}}"])
def test_a_number_longer_than_python_reads_ends_no_row(reply: str) -> None:
    found, dropped = parse_verification(reply.format(digits="7" * 5000))
    assert (found, [item.reason for item in dropped]) == (None, ["malformed_json"])


def test_an_escaped_character_is_one_in_any_notation() -> None:
    face = "\\ud83d\\ude00"
    for reply in (f'{{"func": "return \'{face}\'", "cases": []}}', f"{{'func': 'return \"{face}\"', 'cases': []}}"):
        found, _ = parse_verification(reply)
        assert found is not None
        assert found.function[8:-1] == "\U0001f600"
    assert unescaped("\\ud83d alone") == "\ud83d alone"


def test_true_and_its_string_are_one() -> None:
    assert [expected_output(item) for item in (True, "true", "True", " TRUE")] == [True] * 4
    assert [expected_output(item) for item in (False, "false", "False\n")] == [False] * 3
    assert [expected_output(item) for item in (1, 0, None, "yes", ["true"])] == [None] * 5


def instructions(text: str, truncated: bool = False) -> tuple[list[str], list[str]]:
    kept, dropped = parse_instructions(Reply(text, truncated))
    return kept, [item.reason for item in dropped]


@pytest.mark.parametrize(
    "text",
    [
        "Use no vowels\nWrite in rhyme",
        "1. Use no vowels\n2. Write in rhyme",
        "1) Use no vowels\n\n2) Write in rhyme\n",
        "- Use no vowels\n- Write in rhyme",
        '* "Use no vowels"\n* **Write in rhyme**',
        "```text\nUse no vowels\nWrite in rhyme\n```",
        '```json\n"Use no vowels",\n"Write in rhyme"\n```',
    ],
)
def test_instructions_lose_their_markers(text: str) -> None:
    assert instructions(text) == (["Use no vowels", "Write in rhyme"], [])


def test_remarks_around_a_list_fall() -> None:
    text = "Here are two instructions:\n1. Use no vowels\n2. Write in rhyme\nI hope you like them\n3. " + "x " * 300
    assert instructions(text) == (["Use no vowels", "Write in rhyme"], ["heading", "not_in_the_list", "too_long"])


def test_the_last_line_of_a_reply_that_was_cut_falls() -> None:
    assert instructions("Use no vowels\nWrite in rhy", truncated=True) == (["Use no vowels"], ["truncated"])


def test_an_instruction_may_quote_a_word() -> None:
    assert instructions('"Yes" and "no" must both appear')[0] == ['"Yes" and "no" must both appear']
    assert instructions("3 sentences at most")[0] == ["3 sentences at most"]
    assert instructions("---\n***")[1] == ["no_words", "no_words"]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("CONTRADICTION", "contradiction"),
        ("entailment.", "entailment"),
        ("Neutral", "neutral"),
        ("**Neutral** - neither entailment nor contradiction", "neutral"),
        ("The hypothesis contradicts the premise", "contradiction"),
        ("LABEL_0", None),
        ("", None),
    ],
)
def test_labels(text: str, label: str | None) -> None:
    assert parse_label(text) == label


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("Score: 9", 9),
        ("The constraint fits well.\n\n**Score:** 10", 10),
        ("score is 7.", 7),
        ("Rating: [[8]]", 8),
        ("9/10", 9),
        ("I would give it 6 out of 10", 6),
        ("8", 8),
        ("Score: 3 for the query, but overall Score: 5", 5),
        ("Score: 11", None),
        ("Score: 0", None),
        ("Score: 7.5", None),
        ("It has 3 flaws", None),
        ("", None),
    ],
)
def test_scores(text: str, score: int | None) -> None:
    assert parse_score(text) == score


def test_descriptions_become_one_line() -> None:
    assert parse_description(' "Use only\n questions." ') == "Use only questions."
    assert parse_description("```\nUse only\n questions.\n```\n") == "Use only questions."
    assert parse_description("  ") == ""
