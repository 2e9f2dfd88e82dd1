"""Recognizes the gateway of `lmgateway demo`, which has another configuration and a simulated LM Studio."""

from __future__ import annotations

from http import HTTPStatus

import aiohttp

from ...config import Config
from ..demo_key import DEMO_KEY
from ..urls import url_of
from .findings import Finding
from .listening import SECONDS, get, is_own_address


async def runs(config: Config) -> bool:
    """True if the demo runs on the configured port.

    It accepts the demo's key, which everybody knows, and uses another LM Studio of this machine.
    """
    if config.server.port == 0 or not is_own_address(config.server.host):
        return False
    url = _url(config)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as session:
        greeting = await get(session, url)
        if greeting is None or greeting.fields.get("name") != "lmgateway":
            return False
        refused = await get(session, f"{url}/health/ready")
        if refused is None or refused.status != HTTPStatus.UNAUTHORIZED:
            return False
        ready = await get(session, f"{url}/health/ready", **{"X-API-Key": DEMO_KEY})
    used = "" if ready is None else str(ready.fields.get("lmstudio", {}).get("baseUrl", ""))
    return used.startswith("http://127.0.0.1:") and used not in {
        str(studio.base_url) for studio in config.studios.values()
    }


def describe(config: Config) -> Finding:
    return Finding.note(
        "gateway",
        f"The demo runs at {_url(config)}, so a gateway with this configuration can't start yet.",
        "Press Ctrl-C in the demo's terminal, then: lmgateway serve",
    )


def _url(config: Config) -> str:
    return url_of("127.0.0.1", config.server.port)
