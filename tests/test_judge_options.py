"""The options of a judge: one definition, which the command line, `perm.toml`, training and the identity follow."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from perm_cli.errors import SettingsError
from perm_cli.judges.configuration import load_configuration
from perm_cli.judges.routes import identity_of
from perm_cli.judges.settings import OPTIONS, JudgeSettings
from perm_cli.training.settings import reward_settings
from tests.commands import runner

BOUNDED = {name: option for name, (_, option) in OPTIONS.items() if option.least is not None}


@pytest.mark.parametrize(
    ("settings", "identity"),
    [
        pytest.param(
            {"model": "openai/m"},
            b'{"base_url":null,"logprobs":false,"max_tokens":1024,"model":"openai/m","params":{},'
            b'"structured":"auto","temperature":0.3}',
            id="plain",
        ),
        pytest.param(
            {
                "model": "m",
                "base_url": "http://h/v1",
                "api_key_env": "K",
                "temperature": 0.0,
                "max_tokens": 9,
                "concurrency": 3,
                "rpm": 1.0,
                "tpm": 1.0,
                "timeout_s": 1.0,
                "patience_s": 1.0,
                "structured": "json",
                "logprobs": True,
                "params": {"top_p": 0.9},
            },
            b'{"base_url":"http://h/v1","logprobs":true,"max_tokens":9,"model":"m","params":{"top_p":0.9},'
            b'"structured":"json","temperature":0.0}',
            id="all",
        ),
        pytest.param({"model": "baseline", "temperature": 1.0}, b'{"model":"baseline:1"}', id="counter"),
    ],
)
def test_the_identity_of_a_judge_never_changes(settings: dict[str, Any], identity: bytes) -> None:
    """It names the ratings on disk: with another one, every run folder would be paid for anew."""
    assert orjson.dumps(identity_of(JudgeSettings(name="j", **settings)), option=orjson.OPT_SORT_KEYS) == identity


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("bound", ["least", "most"])
def test_a_bound_holds_wherever_an_option_is_set(
    name: str, bound: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the place is named: option, key, variable or argument."""
    option = BOUNDED[name]
    value = option.least - 1 if bound == "least" else option.most * 2  # type: ignore[operator]
    flag = option.flag or f"--{name.replace('_', '-')}"

    typed = runner(monkeypatch, capsys)("plan", "d.jsonl", "--judge", "openai/m", flag, value)
    passed = said({name: value})
    monkeypatch.setenv(f"PERM_{name.upper()}", str(value))
    exported = said({})
    Path("perm.toml").write_text(f'[judges.j]\nmodel = "openai/m"\n{name} = {value}\n')
    with pytest.raises(SettingsError) as written:
        load_configuration()

    expected = {"least": "expected at least ", "most": "expected at most "}[bound]
    assert (typed.code, f"'{flag}'" in typed.err) == (2, True)
    assert [passed.startswith(f"{name}: "), expected in passed] == [True, True]
    assert [exported.startswith(f"PERM_{name.upper()}: "), expected in exported] == [True, True]
    assert [f"perm.toml: judges.j.{name}: " in str(written.value), expected in str(written.value)] == [True, True]


def said(options: dict[str, Any]) -> str:
    """Return what is wrong with the settings of a reward."""
    with pytest.raises(SettingsError) as raised:
        reward_settings(judge="baseline", **options)
    return str(raised.value)


def test_an_option_that_nobody_set_is_not_in_a_request() -> None:
    """Endpoints have defaults of their own."""
    assert JudgeSettings(name="j", model="m").sent() == {"temperature": 0.3}
