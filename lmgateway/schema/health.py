"""The JSON of / and /health."""

from __future__ import annotations

from typing import Literal

from .common import Message


class Root(Message, frozen=True, kw_only=True):
    """The server's name, and the paths of its pages."""

    name: str
    dashboard: str
    docs: str


class Health(Message, frozen=True, kw_only=True):
    """The gateway is running. `uptime` is in seconds."""

    status: Literal["ok"] = "ok"
    timestamp: str
    uptime: float


class Reachability(Message, frozen=True, kw_only=True):
    """`latency_ms` is null if LM Studio didn't answer."""

    reachable: bool
    latency_ms: int | None
    base_url: str


class Readiness(Message, frozen=True, kw_only=True):
    status: Literal["ok", "unavailable"]
    lmstudio: Reachability
