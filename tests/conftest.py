"""What every test may ask for: a gateway, and something behind it."""

from __future__ import annotations

import asyncio.constants
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.gateway import Gateway, running_gateway
from tests.support.upstream import ScriptedUpstream, scripted_upstream

# In debug mode asyncio notes each callback's stack: ten frames of it took a third of the tests' time.
asyncio.constants.DEBUG_STACK_DEPTH = 1

# asyncio's debug mode tells of callbacks that held the event loop. So long is a fault on any machine.
SLOW_SECONDS = 2.0

StartGateway = Callable[..., Awaitable[Gateway]]


@pytest.fixture(autouse=True)
def nothing_holds_the_loop(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    for phase in ("setup", "call"):
        for record in caplog.get_records(phase):
            if record.name == "asyncio" and record.msg == "Executing %s took %.3f seconds":
                assert record.args[1] < SLOW_SECONDS, record.getMessage()  # type: ignore[index, operator]


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream() as scripted:
        yield scripted


@pytest.fixture
async def start_gateway(tmp_path: Path) -> AsyncIterator[StartGateway]:
    """Start a gateway: `await start_gateway(upstream.base_url, auth={"api_key": "k"})`."""
    async with AsyncExitStack() as stack:

        async def start(base_url: str, **tables: dict[str, object]) -> Gateway:
            lmstudio = {"base_url": base_url, **tables.pop("lmstudio", {})}
            server = {"state_dir": str(tmp_path / "state"), **tables.pop("server", {})}
            return await stack.enter_async_context(
                running_gateway({"lmstudio": lmstudio, "server": server, **tables})
            )

        yield start
