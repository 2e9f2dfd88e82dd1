"""A gateway whose requests wait until a test lets them go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from lmgateway.errors import GatewayError, UpstreamUnavailable
from lmgateway.observe.exchange import Exchange
from lmgateway.simulator import Simulator, Switches
from lmgateway.simulator.engine.generation import OnProgress
from lmgateway.simulator.engine.instance import Instance
from lmgateway.simulator.engine.load_order import LoadOrder
from lmgateway.web.state import ACTIVITY, FLEET, SCHEDULER
from tests.conftest import StartGateway
from tests.support.gate import Gate
from tests.support.gateway import Gateway
from tests.support.held_streams import COMMENT, PING
from tests.support.keys import bearer
from tests.support.relay import Relay, recording_relay
from tests.support.studio import running_studio
from tests.support.waiting import PATIENCE_SECONDS
from tests.waiting.libraries import KEY, MESSAGES, MODEL

# Claude Code's and Codex' instructions and tools alone are more than LM Studio's usual context.
CONTEXT = {"llm.load.contextLength": 32768}
# Enough for all clients, and for what programs send again.
SLOTS = 200
FAILURE = UpstreamUnavailable("LM Studio is gone.")


class LargeContext(Simulator):
    """Each load has CONTEXT, just-in-time loads too, as a user sets it in LM Studio's settings."""

    async def load_slowly(self, order: LoadOrder, on_progress: OnProgress | None = None) -> Instance:
        order = msgspec.structs.replace(order, settings=CONTEXT | order.settings)
        return await super().load_slowly(order, on_progress)


@dataclass
class Waiting:
    """`relay`, which clients use, records what they get. `count` is how many requests wait in the place.

    `others` are the requests that the clients wait for.
    """

    gateway: Gateway
    relay: Relay
    gate: Gate
    count: Callable[[], int]
    others: tuple[Exchange, ...] = ()

    @property
    def requests(self) -> list[Exchange]:
        """The clients' requests that haven't ended."""
        return [one for one in self.gateway.app[ACTIVITY].running if one not in self.others]

    def received(self, keep_alive: bytes) -> int:
        """How many keep-alives the clients got so far."""
        return sum(bytes(answered).count(keep_alive) for _, answered in self.relay.recordings)

    def fewest(self, connections: int) -> int:
        """How many keep-alives each of so many connections got at least."""
        every = [bytes(answered) for _, answered in self.relay.recordings]
        counts = (answered.count(COMMENT) + answered.count(PING) for answered in every)
        return min(counts) if len(every) == connections else 0

    def go_on(self) -> None:
        self.gate.opened.set()

    def fail(self, error: GatewayError = FAILURE) -> None:
        """End each client's request with this error."""
        for exchange in self.requests:
            exchange.cancellation.interrupt(error)


Place = Callable[..., AbstractAsyncContextManager[Waiting]]


@asynccontextmanager
async def _held(
    start_gateway: StartGateway, *, load: bool, slots: int, queue: dict[str, int]
) -> AsyncIterator[tuple[Waiting, LargeContext]]:
    """Start a gateway whose requests are held: in a load, else in the prompt of a model in memory."""
    gate = Gate(holds="load" if load else "prompt")
    switches = Switches(parallel=SLOTS, unified_kv_cache=False, jit_race=False)
    simulator = LargeContext(pace=gate, switches=switches)
    if not load:
        await simulator.load_slowly(LoadOrder(model=simulator.on_disk(MODEL)))
    tables: dict[str, Any] = {"auth": {"api_key": KEY}, "models": {MODEL: {"slots": slots}}, "queue": queue}
    async with running_studio(simulator) as studio:
        gateway = await start_gateway(studio.base_url, **tables)
        await gateway.app[FLEET].boxes.main.list_models()
        await asyncio.sleep(0)  # the line takes in the list
        async with recording_relay(gateway.port) as relay:
            try:
                yield Waiting(gateway, relay, gate, lambda: 0), simulator
            finally:
                gate.opened.set()


@asynccontextmanager
async def in_prefill(start_gateway: StartGateway, **queue: int) -> AsyncIterator[Waiting]:
    """LM Studio has the requests in its slots, and sends nothing yet."""
    async with _held(start_gateway, load=False, slots=SLOTS, queue=queue) as (waiting, simulator):
        waiting.count = lambda: simulator.ledger.occupancy.running
        yield waiting


@asynccontextmanager
async def in_load(start_gateway: StartGateway, **queue: int) -> AsyncIterator[Waiting]:
    """The gateway has their model loaded for them."""
    async with _held(start_gateway, load=True, slots=SLOTS, queue=queue) as (waiting, simulator):
        line = waiting.gateway.app[SCHEDULER].line
        waiting.count = lambda: 0 if simulator.memory.instances() else len(line.waiting)
        yield waiting


@asynccontextmanager
async def in_line(start_gateway: StartGateway, **queue: int) -> AsyncIterator[Waiting]:
    """Another request has the only slot, and ends when they may go on."""
    async with _held(start_gateway, load=False, slots=1, queue=queue) as (waiting, _):
        gateway = waiting.gateway
        body, url = {"model": MODEL, "messages": MESSAGES}, gateway.url("/v1/chat/completions")

        async def hold() -> None:
            async with gateway.client.post(url, json=body, headers=bearer(KEY)) as response:
                await response.read()

        holding = asyncio.create_task(hold())
        await asyncio.wait_for(waiting.gate.reached.wait(), PATIENCE_SECONDS)
        waiting.others = gateway.app[ACTIVITY].running
        line = gateway.app[SCHEDULER].line
        waiting.count = lambda: len(line.waiting)
        try:
            yield waiting
        finally:
            waiting.go_on()
            await asyncio.wait_for(holding, PATIENCE_SECONDS)


PLACES: dict[str, Place] = {"line": in_line, "load": in_load, "prefill": in_prefill}


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Place:
    return PLACES[request.param]
