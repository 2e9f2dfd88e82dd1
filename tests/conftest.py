"""What every test may ask for: a gateway, and something behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.gateway import Gateway, running_gateway
from tests.support.upstream import ScriptedUpstream, scripted_upstream

StartGateway = Callable[..., Awaitable[Gateway]]


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
