"""`lmgateway status`: one screen for everybody, with what the key may see."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from lmgateway import __version__
from tests.cli.conftest import KEY, Commands
from tests.conftest import StartGateway
from tests.support.process import run_here

CHAT, OTHER = "qwen2.5-7b-instruct", "llama-3.2-3b-instruct"


async def made(commands: Commands, *options: str) -> tuple[str, ...]:
    """The access with a new key."""
    _, answer = await commands.run("keys", "add", "ben", *options, "--json")
    return ("--url", commands.gateway.base_url, "--key", json.loads(answer)["key"])


def rows(shown: str) -> dict[str, str]:
    """The screen's values by their names."""
    pairs = (re.split(r"  +", line, maxsplit=1) for line in shown.splitlines())
    return dict(pairs)


async def test_the_owner_sees_everything(commands: Commands) -> None:
    commands.simulator.load(OTHER)
    await commands.run("activate", CHAT)
    status, shown = await commands.run("status")
    assert status == 0
    assert rows(shown) == {
        "Gateway": f"{commands.gateway.base_url}, version {__version__}, up for less than a minute",
        "LM Studio": "answers",
        "Active": f"{CHAT} (llm)",
        "In memory": OTHER,
        "Requests": "0 running, 0 waiting",
        "Key": "owner",
        "Scopes": "admin, inference, log, models, observe, tools",
        "Models": "*",
        "Tokens today": "0",
    }


async def test_json_has_the_same(commands: Commands) -> None:
    commands.simulator.load(CHAT)
    await commands.run("activate", CHAT)
    status, shown = await commands.run("status", "--json")
    answer: dict[str, Any] = json.loads(shown)
    assert status == 0
    assert answer.pop("uptimeSeconds") >= 0
    assert answer.pop("key")["key"]["name"] == "owner"
    assert answer == {
        "url": commands.gateway.base_url,
        "version": __version__,
        "lmStudio": "up",
        "lmStudioProblem": None,
        "activeModels": {"llm": CHAT, "embedding": None},
        "inMemory": [CHAT],
        "running": 0,
        "waiting": 0,
    }


async def test_a_key_for_inference(commands: Commands) -> None:
    """It sees which of its models are in memory, what is left of its limits, and which scope is missing."""
    commands.simulator.load(CHAT)
    commands.simulator.load(OTHER)
    limits = ("--limit", "requestsPerMinute=30", "--limit", "tokensPerDay=50000")
    access = await made(commands, "--model", "llama*", *limits)
    status, shown = await commands.run_bare("status", *access)
    assert status == 0
    row = rows(shown)
    assert (row["LM Studio"], row["In memory"], row["Key"]) == ("answers", OTHER, "ben")
    assert row["Active"] == "not shown to this key: it needs the scope models"
    assert row["Requests"] == "not shown to this key: it needs the scope observe"
    assert row["Limits"] == "30 requests/min, 50,000 tokens/day"
    assert (row["Requests this minute"], row["Tokens today"]) == ("0, 30 left", "0, 50,000 left")


@pytest.mark.parametrize(
    ("scope", "seen"),
    [
        ("log", {"lmStudio": None, "activeModels": None, "inMemory": None, "running": None}),
        ("observe", {"lmStudio": "up", "activeModels": None, "inMemory": None, "running": 0}),
        (
            "models",
            {
                "lmStudio": "up",
                "activeModels": {"llm": None, "embedding": None},
                "inMemory": [],
                "running": None,
            },
        ),
    ],
)
async def test_a_missing_scope_fails_nothing(commands: Commands, scope: str, seen: dict[str, object]) -> None:
    """What the key may not see is null, and said on the screen."""
    access = await made(commands, "--scope", scope)
    status, shown = await commands.run_bare("status", "--json", *access)
    assert status == 0
    answer = json.loads(shown)
    assert {name: answer[name] for name in seen} == seen
    status, shown = await commands.run_bare("status", *access)
    assert (status, shown.count("not shown to this key")) == (0, {"log": 3, "observe": 2, "models": 1}[scope])


async def test_lm_studio_is_down(start_gateway: StartGateway, commands: Commands) -> None:
    """That is what the screen is for: it is no failure of the command."""
    gateway = await start_gateway("http://127.0.0.1:9", auth={"api_key": KEY})
    access = ("--url", gateway.base_url, "--key", KEY)
    status, shown = await run_here("status", *access, cwd=commands.folder)
    assert status == 0
    assert rows(shown)["LM Studio"] == "LM Studio doesn't answer at http://127.0.0.1:9."
    assert "In memory" not in shown
    _, answer = await run_here("keys", "add", "ben", "--json", *access, cwd=commands.folder)
    access = ("--url", gateway.base_url, "--key", json.loads(answer)["key"])
    status, shown = await run_here("status", *access, "--json", cwd=commands.folder)
    assert (status, json.loads(shown)["lmStudio"]) == (0, "down")


async def test_a_wrong_key(commands: Commands) -> None:
    status, shown = await commands.run_bare("status", "--url", commands.gateway.base_url, "--key", "no")
    assert (status, "The gateway doesn't accept this key" in shown) == (77, True)
