"""Records as people look at them: nothing in a record is obeyed by a page or a terminal; frames of other libraries."""

from __future__ import annotations

import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ray_jobs import open_output
from ray_jobs.datasets.shown import Records, lines, title
from ray_jobs.storage.store import open_store
from tests.ray_jobs.datasets.outputs import record, write_output

ROOT = Path(__file__).parents[3]
OUTPUT = ROOT / "tests" / "fixtures" / "outputs" / "evol_instruct" / "out"
HOSTILE = """<script>alert("x")</script><img src=x onerror='y'>&amp;</td></table>\x1b[31m\u202e"""


class Tags(HTMLParser):
    """The tags of a page and their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.text = set[str](), set[str](), ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_nothing_in_a_record_is_obeyed() -> None:
    hostile = dict.fromkeys(("evolver", "instruction", "output", "operator", HOSTILE), HOSTILE)
    page = Tags(Records(({**hostile, "labels": [HOSTILE]},))._repr_html_())
    assert page.tags == {"div", "b", "table", "tr", "th", "td", "details", "summary"}
    assert page.attributes == {"style"}
    assert page.text.count("onerror='y'") == 9
    text = repr(Records((hostile,)))
    assert "\\x1b[31m\\u202e" in text
    assert set(text + page.text).isdisjoint("\x1b\u202e")


def test_a_record_begins_with_its_texts_and_leaves_out_what_is_not_there() -> None:
    found = {"record_id": "r", "ic_ifd": 0.25, "ifd": None, "input": "", "round": 2, "evolver": "small"}
    found |= {"output": "an answer", "instruction": "a question", "counts": [], "tags": ["a", "ö"]}
    assert [name for name, _ in lines(found)] == [
        *("instruction", "output", "record_id", "ic_ifd", "round", "evolver", "tags")
    ]
    assert dict(lines(found))["tags"] == '["a", "ö"]'
    assert title(found) == "small, round 2, IC-IFD 0.250"
    assert repr(Records((found,))) == "small, round 2, IC-IFD 0.250\ninstruction: a question\noutput: an answer"


def test_records_are_a_sequence() -> None:
    records = Records(tuple({"round": number} for number in range(5)))
    assert [record["round"] for record in records[1:3]] == [1, 2]
    assert (len(records), records[-1], repr(Records(()))) == (5, {"round": 4}, "no records")


def test_an_output_shows_its_first_records_and_tells_where_it_has_none(tmp_path: Path) -> None:
    output = open_output(str(OUTPUT))
    page = Tags(output._repr_html_())
    assert f"{output.table().num_rows:,} kept records" in page.text
    assert page.text.count("record_id") == 3
    shutil.copy(OUTPUT / "run.json", tmp_path)
    empty = open_output(str(tmp_path))
    assert Tags(empty._repr_html_()).text.endswith("holds no record yet")
    assert repr(empty) == f"Output({str(tmp_path)!r})"


def test_each_library_has_the_same_records(tmp_path: Path) -> None:
    write_output(open_store(str(tmp_path / "out")), [[record(number) for number in range(9)]])
    output = open_output(str(tmp_path / "out"))
    columns = ["record_id", "round", "ic_ifd"]
    expected = output.table(columns).to_pylist()
    assert output.pandas(columns).to_dict("records") == expected
    assert output.polars(columns).to_dicts() == expected
    assert list(output.head(20, columns)) == expected


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_a_library_that_is_not_installed_is_named(tmp_path: Path, name: str) -> None:
    program = f"""
import sys
sys.modules[{name!r}] = None
from ray_jobs import open_output
from ray_jobs.errors import ConfigError
try:
    open_output({str(OUTPUT)!r}).{name}()
except ConfigError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.startswith(f"{name} is not installed: `pip install {name}`"), done.stderr
