"""Templates: what they fill in, and what is said about files that cannot be used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evolve.errors import TemplateError
from evolve.prompts import SHIPPED, Template, check_folder, load_template, parse_template, shipped_names
from evolve.records import Message, Prompt, Sampling

NAME = "evol_instruct/deepen"


def write(folder: Path, text: str | bytes, name: str = NAME) -> Path:
    path = folder / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def load(folder: Path) -> Template:
    return load_template(NAME, {"instruction"}, {"input"}, folder)


def message(folder: Path) -> str:
    with pytest.raises(TemplateError) as caught:
        load(folder)
    return str(caught.value)


def test_values_are_filled_in_once() -> None:
    template = Template("t", "{a} and {b}")
    assert template.render(a="{b}", b="{a}") == "{b} and {a}"


def test_only_lower_case_names_in_braces_are_placeholders() -> None:
    text = 'Reply as {"key": 1}, {Name}, {}, { instruction } or {1}: {instruction}'
    assert parse_template("t", text, "here", {"instruction"}).render(instruction="X") == text.replace(
        "{instruction}", "X"
    )


def test_a_shipped_template_is_used_where_the_folder_has_none(tmp_path: Path) -> None:
    assert load(tmp_path).text == (SHIPPED / f"{NAME}.txt").read_text(encoding="utf-8").strip()


def test_a_users_file_wins_stripped_and_without_byte_order_mark(tmp_path: Path) -> None:
    write(tmp_path, b"\xef\xbb\xbf\n Deeper: {instruction} \n")
    assert load(tmp_path) == Template(NAME, "Deeper: {instruction}")


def test_an_optional_placeholder_may_be_there(tmp_path: Path) -> None:
    write(tmp_path, "{instruction} {input}")
    assert load(tmp_path).render(instruction="a", input="b") == "a b"


def test_the_digest_follows_the_text() -> None:
    assert Template("a", "x").digest() == Template("b", "x").digest()
    assert Template("a", "x").digest() != Template("a", "y").digest()


def test_missing_placeholder(tmp_path: Path) -> None:
    path = write(tmp_path, "Make it deeper.")
    assert message(tmp_path) == f"{path}: placeholder {{instruction}} is missing"


def test_an_empty_file_lacks_its_placeholder(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    assert message(tmp_path) == f"{path}: placeholder {{instruction}} is missing"


def test_unknown_placeholder_with_a_near_one(tmp_path: Path) -> None:
    path = write(tmp_path, "{instruction} {inputs}")
    assert message(tmp_path) == (
        f"{path}: unknown placeholder {{inputs}}; did you mean {{input}}? (allowed: {{input}}, {{instruction}})"
    )


def test_unknown_placeholder_without_a_near_one(tmp_path: Path) -> None:
    path = write(tmp_path, "{instruction} {zzz}")
    assert message(tmp_path) == f"{path}: unknown placeholder {{zzz}} (allowed: {{input}}, {{instruction}})"


def test_not_utf8(tmp_path: Path) -> None:
    path = write(tmp_path, b"{instruction} caf\xe9")
    assert message(tmp_path) == f"{path}: expected UTF-8 text, got a byte that is not, at position 17"


def test_unreadable(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.txt").mkdir(parents=True)
    assert message(tmp_path) == f"{tmp_path / NAME}.txt: cannot be read: Is a directory"


def test_a_name_that_nothing_ships_under() -> None:
    with pytest.raises(TemplateError, match=re.escape("nothing/here.txt: cannot be read: No such file or directory")):
        load_template("nothing/here", {"instruction"})


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="expected a folder of templates, found none"):
        check_folder(tmp_path / "none", {NAME})


def test_a_file_that_no_template_is_named_after(tmp_path: Path) -> None:
    path = write(tmp_path, "{instruction}", "evol_instruct/depen")
    with pytest.raises(TemplateError) as caught:
        check_folder(tmp_path, {NAME})
    assert str(caught.value) == (
        f"{path}: no template is named evol_instruct/depen; did you mean {NAME}.txt? (known: {NAME})"
    )


def test_a_file_far_from_every_name(tmp_path: Path) -> None:
    path = write(tmp_path, "x", "zzz")
    with pytest.raises(TemplateError) as caught:
        check_folder(tmp_path, {NAME})
    assert str(caught.value) == f"{path}: no template is named zzz (known: {NAME})"


def test_a_folder_in_order_passes(tmp_path: Path) -> None:
    write(tmp_path, "{instruction}")
    (tmp_path / "notes.md").write_text("not a template")
    check_folder(tmp_path, {NAME})


def test_a_folders_system_prompt_goes_before_each_of_its_prompts(tmp_path: Path) -> None:
    write(tmp_path, "Deeper: {instruction}")
    bare = load(tmp_path)
    assert bare.messages(instruction="Count.") == (Message("user", "Deeper: Count."),)
    write(tmp_path, "Answer as {one}.\n", "evol_instruct/system")
    own = load(tmp_path)
    assert own.messages(instruction="Count.") == (
        Message("system", "Answer as {one}."),
        Message("user", "Deeper: Count."),
    )
    assert own.digest() != bare.digest()
    check_folder(tmp_path, shipped_names())


def test_the_user_turns_of_a_prompt_are_its_text() -> None:
    prompt = Prompt((Message("system", "Be short."), Message("user", "Count.")), Sampling(), 1)
    assert (prompt.text, prompt.whole_text) == ("Count.", "Be short.\n\nCount.")
    assert Prompt.user("Count.", Sampling(), 1).text == "Count."


# The seed constraints of AutoIF are a list, not a prompt; the shipped system prompts are empty.
PROMPTS = sorted(path for path in SHIPPED.rglob("*.txt") if path.stem not in ("constraints", "system"))


def test_shipped_system_prompts_are_empty_and_every_group_has_one() -> None:
    groups = {path.parent for path in PROMPTS}
    assert {path.read_text() for path in SHIPPED.rglob("system.txt")} == {""}
    assert {path.parent for path in SHIPPED.rglob("system.txt")} == groups


@pytest.mark.parametrize("path", PROMPTS, ids=lambda path: path.stem)
def test_every_shipped_template_is_plain_text_with_placeholders(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.isascii()
    assert re.search(r"\{[a-z_]+\}", text)


def test_texts_by_name_stand_for_a_folder() -> None:
    own = {NAME: " Deeper: {instruction}\n", "evol_instruct/system": "Be brief."}
    assert load_template(NAME, {"instruction"}, {"input"}, own) == Template(NAME, "Deeper: {instruction}", "Be brief.")
    other = load_template("evol_instruct/reasoning", {"instruction"}, {"input"}, own)
    assert other.text == (SHIPPED / "evol_instruct/reasoning.txt").read_text(encoding="utf-8").strip()
    check_folder(own, shipped_names())


def test_what_is_wrong_with_a_text_is_told_by_its_name() -> None:
    with pytest.raises(TemplateError, match=r"templates.evol_instruct/depen: .*did you mean evol_instruct/deepen\?"):
        check_folder({"evol_instruct/depen": "{instruction}"}, shipped_names())
    with pytest.raises(TemplateError, match=f"templates.{NAME}: .*{{instruction}}"):
        load_template(NAME, {"instruction"}, {"input"}, {NAME: "no"})
