"""The requests that a gateway has answered."""

from __future__ import annotations

from tests.agents.conftest import KEY
from tests.support.gateway import Gateway


async def asked(gateway: Gateway) -> list[tuple[str, int]]:
    """Return path and status of each, oldest first, from /debug/requests."""
    headers = {"X-API-Key": KEY}
    async with gateway.client.get(gateway.url("/debug/requests"), headers=headers) as response:
        report = await response.json()
    return [(request["path"], request["status"]) for request in report["recent"]]
