"""Named tokens: what is kept of them, and who is known by them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ray_jobs.errors import ConfigError
from ray_jobs.service.tokens import VARIABLE, TokenFile, digest, from_environment, new_token, own_token, owner


def test_a_token_is_known_until_it_is_revoked_and_never_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "tokens.json"
    tokens, reader = TokenFile(path), TokenFile(path)
    anna, bert = tokens.add("anna"), tokens.add("bert")
    assert path.stat().st_mode & 0o777 == 0o600
    assert anna not in path.read_text()
    assert [owner(token, reader.digests()) for token in (anna, bert, new_token(), "")] == ["anna", "bert", None, None]
    tokens.revoke("anna")
    assert [owner(token, reader.digests()) for token in (anna, bert)] == [None, "bert"]


def test_runs_keep_their_token_as_long_as_nobody_else_can_have_read_it(tmp_path: Path) -> None:
    beside, kept = tmp_path / "deep" / "tokens.json", tmp_path / "deep" / "run-token"
    tokens = [own_token(beside)]
    assert kept.stat().st_mode & 0o777 == 0o600
    assert own_token(beside) == tokens[0]
    for damaged in (b"", b"short", b"\xff" * 40):
        kept.write_bytes(damaged)
        tokens.append(own_token(beside))
    kept.chmod(0o644)
    tokens.append(own_token(beside))
    assert len({*tokens}) == 5
    assert min(map(len, tokens)) > 40
    assert kept.stat().st_mode & 0o777 == 0o600


def test_names_are_new_and_known(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path / "tokens.json")
    tokens.add("anna")
    for name in ("anna", "", "../x", "a b"):
        with pytest.raises(ConfigError, match="new name"):
            tokens.add(name)
    with pytest.raises(ConfigError, match=r"bert.*anna"):
        tokens.revoke("bert")


@pytest.mark.parametrize(("content", "mode", "word"), [("[]", 0o600, "digests"), ("{}", 0o644, "0600")])
def test_a_file_that_is_damaged_or_open_is_refused(tmp_path: Path, content: str, mode: int, word: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=word):
        TokenFile(path).digests()


def test_tokens_of_the_environment() -> None:
    long = "x" * 20
    assert from_environment({VARIABLE: f"anna={long}, {long}y"}) == {
        "anna": digest(long),
        "environment": digest(f"{long}y"),
    }
    assert from_environment({}) == {}
    for wrong in ("anna=short", f"a b={long}", f"a={long},a={long}"):
        with pytest.raises(ConfigError, match="NAME=TOKEN") as raised:
            from_environment({VARIABLE: wrong})
        assert long not in str(raised.value)
