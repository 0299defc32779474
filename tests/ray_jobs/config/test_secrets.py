"""Secrets of a configuration: what is hidden, stored, compared and told of them. Every planted one holds "okapi"."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from ray_jobs.config.engine_kinds import OpenAIConfig, VllmConfig
from ray_jobs.config.engines import build_engine
from ray_jobs.config.identity import changes, fingerprint, result_settings
from ray_jobs.config.load import parse_storage, validated
from ray_jobs.config.run import RayConfig, RunConfig
from ray_jobs.config.secret_names import is_secret_name
from ray_jobs.config.secrets import Options, Secret, known_secrets, revealed
from ray_jobs.errors import ConfigError, JobError
from ray_jobs.jobs.load import load_config
from ray_jobs.jobs.preflight import check_variables
from ray_jobs.service.submit import PACKED_CONFIG, Submission, add_configuration, has_secrets, inlined, variables_of

ARGUMENTS = {
    "max_model_len": 512,
    "hf_token": "okapi-argument",
    "api_key": ["okapi-list", 4711],
    "model_loader_extra_config": {"credential": {"user": "okapi-nested"}, "threads": 4},
    "download": "https://user:okapi-url@host/x",
    "other": "hf_" + "okapi" * 6,
    "revision": {"from": "REVISION"},
}
VLLM = {
    "model": "m",
    "arguments": ARGUMENTS,
    "environment": {"ODD_NAME": "okapi-environment", "HF_TOKEN": {"from": "MY_TOKEN"}, "HF_HUB_OFFLINE": "1"},
}
SECRET_RUN: dict[str, Any] = {
    "output": "https://user:okapi-output@host/out",
    "storage": {"key": "okapi-key", "secret": "okapi-secret", "client_kwargs": {"aws": "okapi-inner"}},
    "seeds": {
        "path": ["s3://b/x.jsonl", "https://host/x.jsonl?sig=okapi-signature"],
        "storage": {"anything": "okapi-anything"},
    },
    "strategy": {"kind": "auto_evol", "method": "https://okapi-method@host/m.json"},
    "evolvers": {"a": {"engine": VLLM}},
    "responder": {
        "engine": {"kind": "openai", "model": "m", "url": "https://user:okapi-password@host/v1?key=okapi-query"}
    },
}


def run_of(raw: dict[str, Any]) -> RunConfig:
    return RunConfig.model_validate(raw)


def vllm_run(**engine: Any) -> RunConfig:
    return run_of({**SECRET_RUN, "evolvers": {"a": {"engine": {**VLLM, **engine}}}})


def engine_of(run: RunConfig) -> VllmConfig:
    engine = run.evolvers["a"].engine
    assert isinstance(engine, VllmConfig)
    return engine


def test_no_way_to_print_a_configuration_shows_a_secret() -> None:
    run = run_of(SECRET_RUN)
    for shown in (
        repr(run),
        str(run),
        run.model_dump_json(),
        str(run.model_dump()),
        json.dumps(run.model_dump(mode="json")),
    ):
        assert "okapi" not in shown
        assert "4711" not in shown
        assert "max_model_len" in shown
    assert "okapi" not in repr(run.seeds.storage) + str(run.storage) + f"{engine_of(run).arguments}"
    travelled = pickle.loads(pickle.dumps(run))
    assert "okapi" not in repr(travelled)
    assert travelled == run


def test_what_uses_a_secret_gets_the_real_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "okapi-from")
    monkeypatch.setenv("REVISION", "okapi-revision")
    run = run_of(SECRET_RUN)
    engine = engine_of(run)
    assert revealed(engine.environment) == {
        "ODD_NAME": "okapi-environment",
        "HF_TOKEN": "okapi-from",
        "HF_HUB_OFFLINE": "1",
    }
    assert revealed(engine.arguments) == ARGUMENTS | {"api_key": ["okapi-list", "4711"], "revision": "okapi-revision"}
    assert dict(run.storage) == SECRET_RUN["storage"]
    assert run.output == SECRET_RUN["output"]
    assert isinstance(run.responder.engine, OpenAIConfig)  # type: ignore[union-attr]
    url = run.responder.engine.url  # type: ignore[union-attr]
    assert isinstance(url, Secret)
    assert url.reveal() == "https://user:okapi-password@host/v1?key=okapi-query"
    assert {"okapi-password", "okapi-query", "user"} <= set(known_secrets(run.responder))


def test_names_of_variables_are_what_is_stored() -> None:
    stored = run_of(SECRET_RUN).model_dump(mode="json")
    engine = stored["evolvers"]["a"]["engine"]
    assert engine["environment"] == {
        "ODD_NAME": {"from": "ODD_NAME"},
        "HF_TOKEN": {"from": "MY_TOKEN"},
        "HF_HUB_OFFLINE": "1",
    }
    assert engine["arguments"] == {
        "max_model_len": 512,
        "hf_token": {"from": "HF_TOKEN"},
        "api_key": [{"from": "API_KEY"}, {"from": "API_KEY"}],
        "model_loader_extra_config": {"credential": {"user": {"from": "USER"}}, "threads": 4},
        "download": {"from": "DOWNLOAD"},
        "other": {"from": "OTHER"},
        "revision": {"from": "REVISION"},
    }
    assert stored["responder"]["engine"]["url"] == "https://***@host/v1?key=***"
    assert stored["seeds"]["path"][1] == "https://host/x.jsonl?sig=***"


def test_a_stored_configuration_takes_secrets_from_the_environment_or_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = vllm_run().model_dump(mode="json", exclude={"storage": True, "seeds": {"storage"}})
    with pytest.raises(ConfigError, match=r"responder\.engine\.url: \*\*\* stands for what is not stored"):
        validated(RunConfig, stored, "run.json")
    stored["responder"]["engine"]["url"] = {"from": "URL"}
    monkeypatch.setenv("HF_TOKEN", "okapi-now")
    again = run_of(stored)
    assert engine_of(again).arguments["hf_token"].reveal() == "okapi-now"


@pytest.mark.parametrize(
    "changed",
    [
        {"environment": {"HF_TOKEN": "okapi-2", "ANOTHER": "okapi-3"}},
        {"environment": {}},
        {"arguments": {**ARGUMENTS, "hf_token": "okapi-2", "api_key": "okapi-3", "other": "hf_" + "okapi" * 7}},
        {"arguments": {**ARGUMENTS, "hf_token": {"from": "HF_TOKEN"}}},
        {"arguments": {key: value for key, value in ARGUMENTS.items() if key != "hf_token"}},
        {"arguments": {**ARGUMENTS, "download": {"from": "DOWNLOAD"}}},
    ],
)
def test_a_rotated_or_moved_secret_is_no_other_run(changed: dict[str, Any]) -> None:
    before, now = result_settings(vllm_run()), result_settings(vllm_run(**changed))
    assert changes(before, now) == []
    assert fingerprint(before) == fingerprint(now)
    assert "okapi" not in json.dumps([before, now])


def test_settings_stored_by_the_first_versions_are_no_other_run_either() -> None:
    """They hold arguments as they were written."""
    now = result_settings(vllm_run())
    place = "evolvers.a.engine.arguments"
    before = {path: value for path, value in now.items() if not path.startswith(place)}
    before |= {f"{place}.max_model_len": 512, f"{place}.hf_token": "okapi-old", f"{place}.api_key": ["okapi-old"]}
    before |= {
        f"{place}.other": "hf_" + "okapi" * 8,
        f"{place}.download": "https://u:okapi-old@h",
        f"{place}.revision": "x",
    }
    before |= {
        f"{place}.model_loader_extra_config.{name}": item for name, item in (("credential.user", "z"), ("threads", 4))
    }
    before["strategy.method"] = "https://okapi-old@host/m.json"
    now["strategy.method"] = "https://***@host/m.json"
    assert changes(before, now) == []
    told = changes(before | {"seed": 5, f"{place}.key_url": "https://u:okapi-old@h"}, now)
    assert told == [
        f'{place}.key_url: "https://***@h" before, nothing now',
        "seed: 5 before, 0 now",
    ]


def test_an_argument_given_by_a_variable_counts_by_the_variables_name() -> None:
    other = vllm_run(arguments={**ARGUMENTS, "revision": {"from": "ANOTHER"}})
    place = "evolvers.a.engine.arguments.revision.from"
    assert changes(result_settings(vllm_run()), result_settings(other)) == [
        f'{place}: "REVISION" before, "ANOTHER" now'
    ]


WRONG: list[Any] = [
    {"engine": {**VLLM, "environment": {"A": ["okapi"]}}},
    {"engine": {**VLLM, "environment": {"A": 123456}}},
    {"engine": {**VLLM, "environment": "okapi"}},
    {"engine": {**VLLM, "environment": ["A=okapi"]}},
    {"engine": {**VLLM, "environment": {"A=okapi": None}}},
    {"engine": {**VLLM, "environment": {"A: okapi": 3}}},
    {"engine": {**VLLM, "environment": {"HF_TOKEN okapi": 3}}},
    {"engine": {**VLLM, "environment": {"A": {"from": "okapi 1"}}}},
    {"engine": {**VLLM, "environment": {"A": {"form": "okapi"}}}},
    {"engine": {**VLLM, "arguments": "hf_token=okapi"}},
    {"engine": {**VLLM, "arguments": {"hf_token": "***", "x": "okapi"}}},
    {"engine": {**VLLM, "api_key": "okapi"}},
    {"engine": {**VLLM, "api_key=okapi": 1}},
    {"engine": {**VLLM, "model": {"hf_token": "okapi"}}},
    {"engine": {"kind": "openai", "model": "m", "url": "ftp://u:okapi@h"}},
    {"engine": {"kind": "openai", "model": "m", "url": ["ftp://u:okapi@h"]}},
    {"engine": {"kind": "openai", "model": "m", "url": "https://h", "api_key_env": "sk-okapi"}},
    {"engine": {"kind": "openai", "model": "m", "url": "https://h", "api_key_env": "hf_" + "okapi" * 4}},
    {"engine": {"kind": "openai", "model": "m", "url": "https://h", "retries": "https://u:okapi@h"}},
    {"engine": {"kind": "sk-" + "okapi" * 5}},
    {"engine": "sk-" + "okapi" * 5},
    {"engine": VLLM, "pool": {"size": 1, "max_size": 2, "resources": {"token": "okapi"}}},
]
WRONG_RUNS: list[dict[str, Any]] = [
    {"storage": "key: okapi"},
    {"storage": ["okapi"]},
    {"storage": {"key: okapi": 1}},
    {"storage": {"key=okapi": 1}},
    {"seeds": {"path": 3, "storage": {"okapi okapi": "x"}}},
    {"seeds": {"path": {"https://u:okapi@h": 1}}},
    {"seeds": {"path": "x", "format": "https://u:okapi@h"}},
    {"output": ["https://u:okapi@h"]},
    {"strategy": {"kind": "https://u:okapi@h"}},
    {"strategy": {"kind": "auto_evol", "method": ["https://u:okapi@h"]}},
    {"ray": {"address": ["ray://u:okapi@h"]}},
    {"finish": [{"kind": "select", "by": "ifd", "target": ["https://u:okapi@h"]}]},
    {"finish": [{"kind": "win", "judge": {"engine": {"environment": {"A": 1, "B": "okapi"}}}}]},
]


@pytest.mark.parametrize("changed", [*({"evolvers": {"a": item}} for item in WRONG), *WRONG_RUNS])
def test_a_wrong_configuration_is_told_without_its_secrets(tmp_path: Path, changed: dict[str, Any]) -> None:
    plain = {"output": "out", "seeds": {"path": "x"}, "responder": {"kind": "evolver"}}
    raw = {**plain, "evolvers": {"a": {"engine": {"kind": "scripted"}}}, **changed}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(ConfigError) as raised:
        load_config(tmp_path / "run.yaml")
    assert "okapi" not in str(raised.value)
    assert "123456" not in str(raised.value)


def test_pydantics_own_text_shows_no_input() -> None:
    with pytest.raises(ValidationError) as raised:
        VllmConfig.model_validate({"model": {"x": "okapi"}, "environment": {"A": ["okapi"]}, "arguments": "okapi"})
    assert "okapi" not in str(raised.value) + repr(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "output: x\nstorage: {key: okapi, secret: 'okapi\n",
        "storage: {secret: *okapi}",
        "storage: {secret: !okapi okapi}",
        "storage: {secret: &okapi}}",
        "storage: {okapi: 1, key=okapi: 1, key=okapi: 2}",
        "storage: {key: %okapi}",
        "storage:\n\tkey: okapi",
        "storage: {key: okapi: okapi}",
        "storage: [okapi",
        "storage: okapi\n okapi: @okapi",
        "{[okapi]: okapi}",
    ],
)
def test_a_text_that_is_no_yaml_is_told_without_its_secrets(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(ConfigError, match="is not YAML") as raised:
        load_config(tmp_path / "run.yaml")
    assert "okapi" not in str(raised.value)
    (tmp_path / "good.yaml").write_text("output: x")
    with pytest.raises(ConfigError, match="--set storage: the value is not YAML") as raised:
        load_config(tmp_path / "good.yaml", [f"storage={text.removeprefix('storage:')} }} ]"])
    assert "okapi" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    ["okapi", "key=okapi", "{key: okapi", "{key okapi: 1}", "[okapi]", "{'key: okapi'}", "key: *okapi", "{1: okapi}"],
)
def test_a_wrong_storage_text_is_told_without_it(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--storage: ") as raised:
        parse_storage(text)
    assert "okapi" not in str(raised.value)


@pytest.mark.parametrize("override", ["storage.key:okapi", "evolvers.a.engine=[okapi", "seeds.path.x=okapi", "=okapi"])
def test_a_wrong_override_is_told_without_its_value(tmp_path: Path, override: str) -> None:
    (tmp_path / "run.yaml").write_text("output: x\nseeds: {path: x}")
    with pytest.raises(ConfigError, match=r"^--set ") as raised:
        load_config(tmp_path / "run.yaml", [override])
    assert "okapi" not in str(raised.value)


def test_storage_options_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "okapi")
    assert parse_storage("{key: {from: MY_KEY}, client_kwargs: {x: {from: MY_KEY}}}") == {
        "key": "okapi",
        "client_kwargs": {"x": "okapi"},
    }
    options = Options({"key": {"from": "MY_KEY"}})
    monkeypatch.delenv("MY_KEY")
    assert repr(options) == "Options({'key': '***'})"
    with pytest.raises(ConfigError, match="storage option key: there is no variable MY_KEY"):
        dict(options)
    with pytest.raises(ConfigError, match="there is no variable MY_KEY"):
        parse_storage("{key: {from: MY_KEY}}")


def test_a_missing_variable_is_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MY_TOKEN", "REVISION", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    run = vllm_run()
    with pytest.raises(ConfigError, match=r"^evolvers\.a\.engine\.arguments\.revision: there is no variable REVISION"):
        check_variables(run)
    monkeypatch.setenv("REVISION", "x")
    with pytest.raises(
        ConfigError, match=r"^evolvers\.a\.engine\.environment\.HF_TOKEN: there is no variable MY_TOKEN"
    ):
        check_variables(run)
    # those of a cluster's machines are not to be seen from here; the actor tells, before it loads the model
    check_variables(run.model_copy(update={"ray": RayConfig(address="auto")}))
    with pytest.raises(ConfigError, match=r"environment\.HF_TOKEN: there is no variable MY_TOKEN"):
        build_engine(engine_of(run))


def test_a_message_of_ours_masks_what_it_is_given() -> None:
    error = JobError("cannot read https://u:okapi@h/x?sig=okapi")
    assert "okapi" not in str(error) + repr(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *(
            (name, True)
            for name in ("hf_token", "api_key", "apiKey", "key", "secret", "aws_secret_access_key", "password")
        ),
        *((name, True) for name in ("session_token", "connection_string", "account_key", "sas_token", "Authorization")),
        *(
            (name, False)
            for name in ("max_num_batched_tokens", "token_budget", "tokenizer_mode", "pad_token", "username")
        ),
        *(
            (name, False)
            for name in ("long_prefill_token_threshold", "key_variable", "api_key_env", "keyfile", "use_ssl", "")
        ),
    ],
)
def test_names_tell_secrets(name: str, secret: bool) -> None:
    assert is_secret_name(name) is secret


@pytest.mark.parametrize(
    ("override", "secret"),
    [
        ("storage.key=okapi", True),
        ("storage={key: okapi}", True),
        ("evolvers.a.engine={model: m, environment: {A: okapi}}", True),
        ("evolvers.a.engine.arguments.hf_token=okapi", True),
        ("evolvers.token.engine.url=https://u:okapi@h", True),
        ("seeds.path=https://h/x?sig=okapi", True),
        ("evolvers.a.engine.environment.HF_TOKEN={from: HF_TOKEN}", False),
        ("evolvers.token.weight=3", False),
        ("limits={stall_seconds: 3}", False),
    ],
)
def test_a_submitted_setting_that_may_be_secret_is_known(override: str, secret: bool) -> None:
    assert has_secrets(Submission(Path("run.yaml"), [override])) is secret
    assert has_secrets(Submission(Path("run.yaml"), output="https://u:okapi@h/out"))


def test_a_submitted_variable_takes_its_place_in_the_packed_configuration(tmp_path: Path) -> None:
    raw = {"a": [{"b": {"from": "TOKEN"}}, {"c": {"from": "ANOTHER"}}], "d": 1}
    assert variables_of(raw) == {"TOKEN", "ANOTHER"}
    whole = inlined(raw, {"TOKEN": "okapi", "X": "y"})
    assert whole == {"a": [{"b": "okapi"}, {"c": {"from": "ANOTHER"}}], "d": 1}
    add_configuration(tmp_path / "package.zip", whole)
    with zipfile.ZipFile(tmp_path / "package.zip") as package:
        assert yaml.safe_load(package.read(PACKED_CONFIG)) == whole
        assert package.getinfo(PACKED_CONFIG).external_attr >> 16 & 0o777 == 0o600


def test_a_secret_is_a_field_of_any_model() -> None:
    class Holder(BaseModel):
        one: Secret

    holder = Holder.model_validate({"one": "okapi"})
    assert "okapi" not in f"{holder!r} {holder} {holder.model_dump_json()} {holder.one}"
    assert holder.one == Secret("okapi")
    assert len({holder.one, Secret("okapi"), Secret(variable="X")}) == 2


def test_of_several_urls_and_keys_each_is_kept_secret_and_none_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_A", "okapi-a")
    monkeypatch.setenv("KEY_B", "okapi-b")
    plain = {"kind": "openai", "model": "m", "url": "https://host/v1"}
    several = {
        **plain,
        "url": ["https://user:okapi-password@host/v1", {"from": "SERVER"}],
        "api_key_env": ["KEY_A", "KEY_B"],
        "requests_per_minute": 60,
        "tokens_per_minute": 1000,
    }
    one, two = (OpenAIConfig.model_validate(item) for item in (plain, several))
    assert two.model_dump(mode="json")["url"] == ["https://***@host/v1", {"from": "SERVER"}]
    assert result_settings(one) == result_settings(two)
    assert (one.max_concurrency(), two.max_concurrency()) == (256, 512)
    assert two.hidden_texts() == ("okapi-a", "okapi-b")
    monkeypatch.setenv("SERVER", "https://okapi-server:x@host/v1")
    assert {"okapi-password", "okapi-server"} <= set(known_secrets(two))
    with pytest.raises(ValueError, match="one for each of 2 URLs, got 3"):
        OpenAIConfig.model_validate({**several, "api_key_env": ["KEY_A", "KEY_B", "KEY_C"]})
