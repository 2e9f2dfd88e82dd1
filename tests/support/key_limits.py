"""Requests with a key that has limits, and clocks for the limits that a test can advance without waiting."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.keys import call

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


async def own_key(gateway: Gateway, key: str | None) -> Any:
    reply = await call(gateway, "GET", "/admin/keys/self", key=key)
    assert reply.status == 200, reply.body
    return reply.body


def rate_fields(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the x-ratelimit header fields without the prefix."""
    prefix = "x-ratelimit-"
    names = {name.lower() for name in headers}
    return {name[len(prefix) :]: headers[name] for name in names if name.startswith(prefix)}


async def ask(
    gateway: Gateway,
    key: str | None,
    path: str = CHAT,
    body: object = HELLO,
    method: str = "POST",
    **headers: str,
) -> tuple[int, dict[str, str], Any]:
    """Return the status, the x-ratelimit fields with those of a refusal, and the body."""
    reply = await call(gateway, method, path, body if method == "POST" else None, key=key, **headers)
    fields = rate_fields(reply.headers)
    for name in ("Retry-After", "X-Refused-Reason", "x-should-retry", "x-codex-promo-message"):
        if name in reply.headers:
            fields[name] = reply.headers[name]
    return reply.status, fields, reply.body
