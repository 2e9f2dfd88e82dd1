"""What the proxied paths add to the promises of tests/hostile: rewritten paths, limits, LM Studio's token."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from tests.conftest import StartGateway
from tests.support.upstream import ScriptedUpstream

KEY = {"auth": {"api_key": "a key"}}
AUTHORIZED = {"X-API-Key": "a key"}


async def test_short_and_doubled_paths_are_rewritten(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """LM Studio sees /v1 before a short path, and each doubled part once."""
    gateway = await start_gateway(upstream.base_url)
    for sent, arrives in (
        ("//v1/v1/models", "/v1/models"),
        ("/chat//completions?x=//", "/v1/chat/completions?x=//"),
        ("/api//v0/models", "/api/v0/models"),
        ("/models/some/model", "/v1/models/some/model"),
        ("/audio/transcriptions", "/v1/audio/transcriptions"),
    ):
        async with gateway.client.get(gateway.url(sent)) as response:
            assert (response.status, upstream.last.target) == (200, arrives)


async def test_path_prefix_of_the_base_url_is_kept(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """An LM Studio behind a path prefix gets that prefix before every path."""
    gateway = await start_gateway(f"{upstream.base_url}/studio/")
    async with gateway.client.get(gateway.url("/v1/models")):
        pass
    assert upstream.last.target == "/studio/v1/models"


@pytest.mark.parametrize(
    ("path", "limit"),
    [("/v1/chat/completions", "max_body_bytes"), ("/v1/audio/translations", "max_upload_bytes")],
)
@pytest.mark.parametrize("announced", [True, False])
async def test_too_large_body_is_refused(
    start_gateway: StartGateway, upstream: ScriptedUpstream, path: str, limit: str, announced: bool
) -> None:
    """A body over the limit gets 413, with a Content-Length and without."""
    gateway = await start_gateway(upstream.base_url, proxy={limit: 1000})

    async def body():  # type: ignore[no-untyped-def]
        for _ in range(11):
            yield b"x" * 100

    data = b"x" * 1100 if announced else body()
    async with gateway.client.post(gateway.url(path), data=data) as response:
        assert response.status == 413
        assert "1000 bytes" in (await response.json())["error"]["message"]
    assert not any(len(request.body) for request in upstream.received)


@pytest.mark.parametrize(
    "authorization",
    [
        [],
        [("Authorization", "Bearer dummy")],
        [("authorization", "Basic dTpw")],
        [("AUTHORIZATION", "Bearer x"), ("Authorization", "Bearer x")],
    ],
)
async def test_lm_studios_token_replaces_any_authorization(
    start_gateway: StartGateway, upstream: ScriptedUpstream, authorization: list[tuple[str, str]]
) -> None:
    """With an API token for LM Studio configured, a client's dummy Bearer isn't forwarded."""
    gateway = await start_gateway(upstream.base_url, lmstudio={"api_token": "sk-lm-1:2"}, **KEY)
    headers = CIMultiDict([*AUTHORIZED.items(), *authorization])
    for method in ("GET", "POST"):
        url = gateway.url("/v1/chat/completions")
        async with gateway.client.request(method, url, headers=headers) as response:
            assert response.status == 200
        assert upstream.last.all("Authorization") == ["Bearer sk-lm-1:2"]
