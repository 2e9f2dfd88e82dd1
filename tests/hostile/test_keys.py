"""Promises about keys. RFC 9110 section 11."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import Connect
from tests.support.upstream import ScriptedUpstream


@pytest.mark.parametrize("path", ["/v1/models", "/admin/models", "/debug/stream", "/metrics", "/nowhere"])
async def test_without_key_is_401_and_reaches_nothing(
    connect: Connect, upstream: ScriptedUpstream, path: str
) -> None:
    async with connect() as client:
        await client.send(b"GET %s HTTP/1.1\r\nHost: gateway.local\r\n\r\n" % path.encode())
        assert b" 401 " in await client.head()
    assert not upstream.received
