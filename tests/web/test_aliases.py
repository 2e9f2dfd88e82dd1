"""Aliases of models, over HTTP."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from lmgateway.cli import main
from lmgateway.web.state import FLEET
from tests.conftest import StartGateway
from tests.support.household import CHAT, HELLO, KEYED, LLM, OTHER_LLM, OWNER, ask, household
from tests.support.process import serving
from tests.support.upstream import Received, ScriptedUpstream, answer

ALIASES = {"aliases": ["gpt-4o", "claude-*"]}
# With residency on, the body gets the name of an instance instead.
BY_KEY: dict[str, object] = {"residency": {"enabled": False}}
TABLES = {**BY_KEY, "models": {"pub/key": {**ALIASES, "defaults": {"topK": 7}}}}
PADDINGS = [0, 80_000, 3_000_000]


async def lists(request: Received, reader: object, writer: object) -> None:
    instances = [{"id": "claude-instance"}]
    entry = {"key": "pub/key", "type": "llm", "loaded_instances": instances}
    body = json.dumps({"models": [entry]}) if request.target == "/api/v1/models" else '{"data":[]}'
    await answer(body.encode())(request, reader, writer)  # type: ignore[arg-type]


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(
    ("name", "sent"),
    [
        (b'"gpt-4o"', b'"pub/key"'),
        (rb'"gpt\u002d4o"', b'"pub/key"'),
        (b'"claude-3"', b'"pub/key"'),
        (b'"claude-instance"', b'"claude-instance"'),
        (b'"pub/key"', b'"pub/key"'),
        (b'"GPT-4o"', b'"GPT-4o"'),
        (b"7", b"7"),
    ],
)
async def test_an_alias_becomes_its_models_key(
    start_gateway: StartGateway, upstream: ScriptedUpstream, name: bytes, sent: bytes, padding: int
) -> None:
    """Everything else keeps its bytes, and a name of LM Studio\'s comes before an alias."""
    upstream.script = lists
    gateway = await start_gateway(
        upstream.base_url, **KEYED, **BY_KEY, models={"pub/key": {"aliases": ["gpt-4o", "claude-*"]}}
    )
    rest = b'"n":[1.0,1E+2],"s":"caf\\u00e9","h":"\\ud83d","pad":"%s"' % (b"x" * padding)
    body = b'{"a":1,"model":%s,%s}' % (name, rest)
    assert (await ask(gateway, OWNER, CHAT, body)).status == 200
    assert upstream.last.body == b'{"a":1,"model":%s,%s}' % (sent, rest)


async def test_the_profile_of_an_aliased_model_counts(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Also of an instance, and of a request without a model whose key has the alias as its default."""
    upstream.script = lists
    gateway = await start_gateway(upstream.base_url, **KEYED, **TABLES)
    for name, sent in (("gpt-4o", "pub/key"), ("claude-instance", "claude-instance")):
        await ask(gateway, OWNER, CHAT, {"model": name})
        assert json.loads(upstream.last.body) == {"model": sent, "top_k": 7}


async def test_the_lists_are_read_at_most_every_five_seconds(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """And only for a name that is an alias."""
    upstream.script = lists
    gateway = await start_gateway(upstream.base_url, **KEYED, **TABLES)
    for name in ("pub/key", "unknown", "gpt-4o", "gpt-4o", "claude-3"):
        await ask(gateway, OWNER, CHAT, {"model": name})
    looked = [request.target for request in upstream.received if request.method == "GET"]
    assert sorted(looked) == ["/api/v1/models", "/v1/models"]


async def test_an_alias_works_without_the_lists(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """A caller who may use all models needs no check."""
    gateway = await start_gateway(upstream.base_url, **KEYED, **TABLES)
    assert (await ask(gateway, OWNER, CHAT, {"model": "gpt-4o"})).status == 200
    assert json.loads(upstream.last.body)["model"] == "pub/key"


async def test_tokens_are_counted_for_an_alias(start_gateway: StartGateway) -> None:
    async with household(start_gateway, models={LLM: {"aliases": ["claude-*"]}}) as home:
        home.simulator.load(LLM)
        home.simulator.load(OTHER_LLM)
        counted = [
            (await home.ask(OWNER, "/v1/messages/count_tokens", {**HELLO, "model": name})).json
            for name in (LLM, "claude-3")
        ]
        assert counted[0] == counted[1]


async def test_an_admin_may_use_an_alias(start_gateway: StartGateway) -> None:
    """To load, activate and unload; an instance of this name comes first."""
    async with household(start_gateway, models={LLM: {"aliases": ["gpt-4o"]}}) as home:
        for action in ("load", "activate", "unload"):
            reply = await home.ask(OWNER, f"/admin/models/{action}", {"modelKey": "gpt-4o"})
            assert (reply.status, reply.json["modelKey"]) == (200, LLM), action
        home.simulator.load(OTHER_LLM, "gpt-4o")
        home.simulator.load(LLM)
        await home.gateway.app[FLEET].boxes.main.list_models()
        assert (await home.ask(OWNER, "/admin/models/unload", {"modelKey": "gpt-4o"})).status == 200
        assert [one.identifier for one in home.simulator.memory.instances()] == [LLM]


def test_two_models_with_one_alias_stop_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 78; the message names both models and the alias."""
    file = tmp_path / "config.toml"
    file.write_text('[models."a/b"]\naliases = ["x", "gpt-*"]\n[models.c]\naliases = ["gpt-*"]\n')
    for command in ("check", "serve"):
        assert main([command, "--config", str(file)]) == 78
        error = capsys.readouterr().err
        assert 'models."a/b".aliases and models.c.aliases: both have the alias "gpt-*"' in error


@pytest.mark.parametrize("alias", ["", " x", "x ", "a\\nb", "x" * 201])
def test_an_odd_alias_stops_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str], alias: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'[models.m]\naliases = ["{alias}"]\n')
    assert main(["check", "--config", str(file)]) == 78
    assert "models.m.aliases: invalid value" in capsys.readouterr().err


async def test_a_reload_that_would_share_an_alias_is_refused(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """The gateway goes on with the aliases that it has."""
    file = tmp_path / "config.toml"
    file.write_text('[models.m]\naliases = ["x"]\n')
    async with serving(tmp_path, LMSTUDIO_BASE_URL=upstream.base_url) as (gateway, _):
        file.write_text('[models.m]\naliases = ["x"]\n[models.n]\naliases = ["x"]\n')
        gateway.send(signal.SIGHUP)
        await gateway.says("both have the alias")
