"""Named keys with limits, and clocks for them that a test can advance without waiting."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import aiohttp
import pytest

from tests.support.gateway import Gateway

OWNER_KEY = "the owner's key"
AS_OWNER = {"X-API-Key": OWNER_KEY}
CHAT = "/v1/chat/completions"
LLM = "qwen2.5-7b-instruct"
HELLO = {"model": LLM, "max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]}
TODAY = 1_780_000_000.0


class LimitClocks:
    """The clocks of the limits: `now` in monotonic seconds, `unix` in Unix seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.unix = time.monotonic(), TODAY
        monkeypatch.setattr("lmgateway.access.limits.monotonic", lambda: self.now)
        monkeypatch.setattr("lmgateway.access.limits.unix_time", lambda: self.unix)

    def pass_seconds(self, seconds: float) -> None:
        self.now += seconds
        self.unix += seconds


async def make_key(gateway: Gateway, name: str = "alice", **settings: object) -> dict[str, str]:
    """Return the header field of a new key."""
    body = {"name": name, **settings}
    async with gateway.client.post(gateway.url("/admin/keys"), json=body, headers=AS_OWNER) as response:
        assert response.status == 201, await response.text()
        return {"Authorization": f"Bearer {(await response.json())['key']}"}


async def change_key(gateway: Gateway, name: str = "alice", **patch: object) -> None:
    url = gateway.url(f"/admin/keys/{name}")
    async with gateway.client.patch(url, json=patch, headers=AS_OWNER) as response:
        assert response.status == 200, await response.text()


async def revoke_key(gateway: Gateway, name: str = "alice") -> None:
    async with gateway.client.delete(gateway.url(f"/admin/keys/{name}"), headers=AS_OWNER) as response:
        assert response.status == 200


async def own_key(gateway: Gateway, key: dict[str, str]) -> Any:
    async with gateway.client.get(gateway.url("/admin/keys/self"), headers=key) as response:
        assert response.status == 200
        return await response.json()


def rate_fields(response: aiohttp.ClientResponse) -> dict[str, str]:
    """Return the x-ratelimit header fields without the prefix."""
    prefix = "x-ratelimit-"
    names = {name.lower() for name in response.headers}
    return {name[len(prefix) :]: response.headers[name] for name in names if name.startswith(prefix)}


async def ask(
    gateway: Gateway, key: dict[str, str], path: str = CHAT, body: object = HELLO, method: str = "POST"
) -> tuple[int, dict[str, str], Any]:
    """Return the status, the x-ratelimit fields with those of a refusal, and the body."""
    data = io.BytesIO(json.dumps(body).encode()) if method == "POST" else None
    async with gateway.client.request(method, gateway.url(path), data=data, headers=key) as response:
        fields = rate_fields(response)
        for name in ("Retry-After", "X-Refused-Reason", "x-should-retry"):
            if name in response.headers:
                fields[name] = response.headers[name]
        text = await response.text()
        is_json = response.content_type == "application/json"
        return response.status, fields, json.loads(text) if is_json else text
