"""What the gateway fills in from a model's profile, and what from the active model."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.process import serving
from tests.support.raw_client import raw_client
from tests.support.upstream import ScriptedUpstream

CHAT = "/v1/chat/completions"
PROFILES = {
    "profiled": {"defaults": {"temperature": 0.7, "maxTokens": 500}},
    "empty": {},
    "loads only": {"load": {"contextLength": 4096}},
}
ACTIVE = {"temperature": 0.1, "topK": 40}
FROM_PROFILE = {"temperature": 0.7, "max_tokens": 500}
FROM_ACTIVE = {"temperature": 0.1, "top_k": 40}
BOTH = {**FROM_ACTIVE, **FROM_PROFILE}
OTHER, PROFILED = {"modelKey": "other"}, {"modelKey": "profiled"}
INSTANCE = {**PROFILED, "instanceId": "mine"}


async def post(gateway: Gateway, path: str, body: dict[str, Any]) -> None:
    async with gateway.client.post(gateway.url(path), json=body) as response:
        assert response.status == 200, await response.text()


@pytest.mark.parametrize(
    ("active", "named", "model", "added"),
    [
        (None, "profiled", "profiled", FROM_PROFILE),
        (None, "other", "other", {}),
        (OTHER, "profiled", "profiled", BOTH),
        (OTHER, "empty", "empty", FROM_ACTIVE),
        (OTHER, "loads only", "loads only", FROM_ACTIVE),
        (OTHER, None, "other", FROM_ACTIVE),
        (PROFILED, "", "profiled", BOTH),
        (PROFILED, "other", "other", FROM_ACTIVE),
        (INSTANCE, None, "mine", BOTH),
        (INSTANCE, "mine", "mine", BOTH),
        ({**OTHER, "instanceId": "profiled"}, None, "profiled", BOTH),
    ],
)
async def test_the_profile_comes_before_the_active_model(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    active: dict[str, str] | None,
    named: str | None,
    model: str,
    added: dict[str, object],
) -> None:
    """Field by field: from the profile of the model that the request goes to, else from the active model."""
    gateway = await start_gateway(upstream.base_url, models=PROFILES)
    if active is not None:
        await post(gateway, "/admin/models/activate", {**active, "type": "llm", "defaultInference": ACTIVE})
    await post(gateway, CHAT, {"model": named})
    assert json.loads(upstream.last.body) == {"model": model, **added}


@pytest.mark.parametrize(
    ("sent", "added"),
    [
        ({"temperature": None}, {"max_tokens": 500}),
        ({"temperature": 0, "max_tokens": 1}, {}),
        ({"max_completion_tokens": 1}, {"temperature": 0.7}),
    ],
)
async def test_what_the_client_sent_comes_before_the_profile(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    sent: dict[str, object],
    added: dict[str, object],
) -> None:
    gateway = await start_gateway(upstream.base_url, models=PROFILES)
    await post(gateway, CHAT, {"model": "profiled", **sent})
    assert json.loads(upstream.last.body) == {"model": "profiled", **sent, **added}


async def test_a_profile_has_each_apis_parameter_names(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """And fills nothing into APIs without such parameters."""
    gateway = await start_gateway(upstream.base_url, models=PROFILES, compat={"mend": False})
    for path, added in (
        ("/v1/responses", {"temperature": 0.7, "max_output_tokens": 500}),
        ("/v1/messages", FROM_PROFILE),
        ("/v1/messages/count_tokens", {}),
        ("/v1/embeddings", {}),
    ):
        await post(gateway, path, {"model": "profiled"})
        assert json.loads(upstream.last.body) == {"model": "profiled", **added}


def profile(temperature: float) -> str:
    return f"[models.m]\ndefaults = {{ temperature = {temperature} }}\n"


async def test_sighup_puts_new_profiles_in_force(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """For the next request; a running one keeps the profiles that it began with."""
    config = tmp_path / "config.toml"
    config.write_text(profile(0.5))
    body = b'{"model":"m"}'
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    head %= CHAT.encode(), len(body)
    async with (
        serving(tmp_path, LMSTUDIO_BASE_URL=upstream.base_url) as (gateway, port),
        raw_client(port) as begun,
        raw_client(port) as later,
    ):
        await begun.send(head + b"Expect: 100-continue\r\n\r\n")
        assert b" 100 " in await begun.head()
        config.write_text(profile(1.5))
        gateway.send(signal.SIGHUP)
        await gateway.says("the configuration is reloaded")
        for client, sent, temperature in ((later, head + b"\r\n" + body, 1.5), (begun, body, 0.5)):
            assert (await client.ask(sent)).status == 200
            assert json.loads(upstream.posts[-1].body) == {"model": "m", "temperature": temperature}
