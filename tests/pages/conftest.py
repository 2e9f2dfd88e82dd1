"""A gateway behind each of the proxies that the tests run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .proxies import Behind, behind


@pytest.fixture(params=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def setup(proxy: str, tmp_path: Path) -> AsyncIterator[Behind]:
    async with behind(proxy, tmp_path) as running:
        yield running
