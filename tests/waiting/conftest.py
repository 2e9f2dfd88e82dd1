"""A gateway whose requests wait until a test lets them go on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import pytest

from lmgateway.errors import GatewayError, UpstreamUnavailable
from lmgateway.simulator import Simulator
from lmgateway.web.state import ACTIVITY
from tests.conftest import StartGateway
from tests.support.gate import Gate
from tests.support.gateway import Gateway
from tests.support.relay import Relay, recording_relay
from tests.support.studio import running_studio
from tests.waiting.libraries import KEY, MODEL

# Claude Code's and Codex' instructions and tools alone are more than LM Studio's usual context.
CONTEXT = 32768
FAILURE = UpstreamUnavailable("LM Studio is gone.")


@dataclass
class Waiting:
    """`relay`, which clients use, records what they get. `go_on` lets the requests run."""

    gateway: Gateway
    relay: Relay
    go_on: Callable[[], Awaitable[None]]

    def received(self, keep_alive: bytes) -> int:
        """How many keep-alives the clients got so far."""
        return sum(bytes(answered).count(keep_alive) for _, answered in self.relay.recordings)

    def fail(self, error: GatewayError = FAILURE) -> None:
        """End each request with this error."""
        for exchange in self.gateway.app[ACTIVITY].running:
            exchange.cancellation.interrupt(error)


Place = Callable[..., AbstractAsyncContextManager[Waiting]]


@asynccontextmanager
async def in_prefill(start_gateway: StartGateway, **queue: int) -> AsyncIterator[Waiting]:
    """LM Studio has the requests, and sends nothing yet."""
    gate = Gate(holds="prompt")
    async with running_studio(Simulator(pace=gate)) as studio:
        gateway = await start_gateway(studio.base_url, auth={"api_key": KEY}, queue=queue)
        order, headers = {"modelKey": MODEL, "loadConfig": {"contextLength": CONTEXT}}, {"X-API-Key": KEY}
        url = gateway.url("/admin/models/load")
        async with gateway.client.post(url, json=order, headers=headers) as response:
            assert response.status == 200, await response.text()

        async def go_on() -> None:
            gate.opened.set()

        async with recording_relay(gateway.port) as relay:
            yield Waiting(gateway, relay, go_on)
            await go_on()


PLACES: dict[str, Place] = {"prefill": in_prefill}


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Place:
    return PLACES[request.param]
