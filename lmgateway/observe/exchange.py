"""One request and what became of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from aiohttp import web

from ..errors import GatewayError

# nginx's number for a client that left before its answer; it is only ever logged, never sent.
CLIENT_LEFT = 499


@dataclass(slots=True)
class Exchange:
    """What is known about a request while it runs; written by the middlewares and the relay.

    `client` is the address that counts, behind trusted proxies. `response` is set once its head is on its way
    to the client; from then on a failure can only break the connection.
    """

    request_id: str
    client: str
    method: str
    path: str
    started: float = field(default_factory=time.monotonic)
    response: web.StreamResponse | None = None
    status: int = CLIENT_LEFT
    error: GatewayError | None = None

    @property
    def total_ms(self) -> int:
        return round((time.monotonic() - self.started) * 1000)
