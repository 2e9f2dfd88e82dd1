"""The key of `lmgateway demo`, and what to say when the gateway that refuses another key is the demo."""

from __future__ import annotations

from http import HTTPStatus

import aiohttp
from yarl import URL

DEMO_KEY = "demo"


async def hint(session: aiohttp.ClientSession, place: URL) -> str:
    """Return a sentence if the gateway at this address accepts the demo's key, otherwise "".

    The demo listens on this machine only, so the key is sent to no other.
    """
    if place.host != "127.0.0.1":
        return ""
    try:
        headers = {"X-API-Key": DEMO_KEY}
        async with session.get("/health/ready", headers=headers, allow_redirects=False) as response:
            accepted = response.status in {HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE}
    except aiohttp.ClientError:
        return ""
    return f"`lmgateway demo` runs at {place}. Its key is {DEMO_KEY}: --key {DEMO_KEY}" if accepted else ""
