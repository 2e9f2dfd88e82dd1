"""Variables that are nearly the gateway's."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmgateway.settings import SETTINGS
from tests.support.process import run
from tests.support.sources import Sources

NAMES = sorted({name for setting in SETTINGS.values() for name in setting.env})


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path)


def found(sources: Sources, *names: str, env: dict[str, str] | None = None) -> list[tuple[str, str]]:
    dotenv = "".join(f"{name}=a-secret\n" for name in names)
    return [(one.name, one.meant) for one in sources.load(dotenv=dotenv, env=env).misspelt]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("GATEWAY_APIKEY", "GATEWAY_API_KEY"),
        ("LMSTUDIO_BASEURL", "LMSTUDIO_BASE_URL"),
        ("LM_STUDIO_BASE_URL", "LMSTUDIO_BASE_URL"),
        ("gateway_api_key", "GATEWAY_API_KEY"),
        ("GATEWAY_API_KEYS", "GATEWAY_API_KEY"),
        ("GATEWAY_API_EKY", "GATEWAY_API_KEY"),
        ("GATWAY_PORT", "GATEWAY_PORT"),
        ("GATEWAY_PORX", "GATEWAY_PORT"),
        ("IP_ALOWLIST", "IP_ALLOWLIST"),
        ("LMGATEWAY_CONFG", "LMGATEWAY_CONFIG"),
    ],
)
def test_one_letter_off(sources: Sources, name: str, meant: str) -> None:
    """One missing, too many, wrong, or swapped with its neighbour; underscores and case don't count."""
    assert found(sources, name) == [(name, meant)]


@pytest.mark.parametrize("name", ["GATEWAY_TIMEOUT", "PORT", "LMSTUDIO", "COMPOSE_PROJECT_NAME", "API_KEY"])
def test_variables_of_other_programs(sources: Sources, name: str) -> None:
    """`.env` may be docker compose's too."""
    assert found(sources, name) == []


def test_no_variable_of_the_gateway_is_like_another(sources: Sources) -> None:
    """Each name is right, and so is a wrong one beside the right one: somebody else's."""
    assert [name for name in NAMES if found(sources, env={name: ""})] == []
    assert found(sources, "LMSTUDIO_BASEURL", env={"LMSTUDIO_BASE_URL": "http://127.0.0.1:1"}) == []


def test_the_environment_has_many_variables(sources: Sources) -> None:
    """Only those that are meant for the gateway by their beginning."""
    env = {"GATEWAY_APIKEY": "a-secret", "LOG_LEVELS": "x", "IP_ALOWLIST": "x", "HOME": "/", "LMSTUDI": "x"}
    assert [str(one) for one in sources.load(env=env).misspelt] == [
        "environment: GATEWAY_APIKEY isn't a variable of the gateway. Did you mean GATEWAY_API_KEY?"
    ]


@pytest.mark.parametrize("command", ["check", "doctor"])
async def test_commands_say_so(command: str, tmp_path: Path) -> None:
    """Without it, the setting would be ignored in silence."""
    (tmp_path / ".env").write_text("LMSTUDIO_BASEURL=http://127.0.0.1:9\n")
    _, output = await run(command, cwd=tmp_path, HOME=str(tmp_path))
    sentence = ".env: LMSTUDIO_BASEURL isn't a variable of the gateway. Did you mean LMSTUDIO_BASE_URL?"
    assert output.count(sentence) == 1
