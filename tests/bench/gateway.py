"""The gateway as a target: with everything on, and with nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import aiohttp

from .accounts import Account
from .asking import Asking
from .place import Place, Running
from .processes import answers, free_port, running
from .subscribers import subscribed
from .wire import Door

KEY = "a-key-for-the-benchmark-0123456789"
# This allocator gives a rush's memory back to the system, from a thread of its own.
JEMALLOC = {
    "LD_PRELOAD": "libjemalloc.so.2",
    "PYTHONMALLOC": "malloc",
    "MALLOC_CONF": "background_thread:true,narenas:1",
}
NETWORKS = ("127.0.0.1", "192.168.0.0/16", "fd00::/8")
# The line before the GPU is on, and never the limit.
MANY_SLOTS = '[models."qwen2.5-7b-instruct"]\nslots = 1000\n'
_NEW_KEY = {
    "name": "bench",
    "scopes": ["inference", "models", "observe"],
    "limits": {"requestsPerMinute": 10**6, "tokensPerMinute": 10**9, "tokensPerDay": 10**9},
}
_ACTIVE = {
    "modelKey": "qwen2.5-7b-instruct",
    "type": "llm",
    "defaultInference": {"temperature": 0.7, "maxTokens": 4000, "topP": 0.95, "topK": 40},
}


@asynccontextmanager
async def lmgateway(
    place: Place, door: Door, environ: Mapping[str, str], *, settings: str = MANY_SLOTS
) -> AsyncIterator[Running]:
    """Run the gateway of this folder, with these settings in TOML; its log goes to a file."""
    folder = place.folder("lmgateway")
    log = folder / "log"
    # No other configuration, also not from /etc.
    configuration = folder / "config.toml"
    configuration.write_text(settings)
    options = ("--config", str(configuration), "--host", "127.0.0.1", "--port", str(door.port))
    command = (sys.executable, "-m", "lmgateway", "serve", *options)
    environ = {
        "LMSTUDIO_BASE_URL": place.studio_url,
        "GATEWAY_STATE_DIR": str(folder),
        "GATEWAY_DRAIN_SECONDS": "0",
        **environ,
    }
    async with running(*command, core=place.target_core, log=log, cwd=folder, environ=environ) as process:
        await answers(process, door, log)
        yield Running(door, Account(process.pid))


@asynccontextmanager
async def everything_on(
    place: Place,
    *,
    networks: Sequence[str] = NETWORKS,
    subscribers: int = 1,
    further: Mapping[str, str] | None = None,
    settings: str = MANY_SLOTS,
    is_named: bool = True,
) -> AsyncIterator[Running]:
    """A named key with limits, allowlist, active model, parameters, usage, events, access log, readers.

    Without `is_named` the key is the configured one, which has no limits. `further` are variables of the
    environment.
    """
    door = Door(free_port(), KEY)
    environ = {"GATEWAY_API_KEY": KEY, "IP_ALLOWLIST": ",".join(networks), **(further or {})}
    async with lmgateway(place, door, environ, settings=settings) as gateway:
        async with Asking.connected(door.port) as client:
            await client.ask(door.post(json.dumps(_ACTIVE).encode(), "/admin/models/activate"))
        key = await _named_key(door) if is_named else door.key
        async with subscribed(door, subscribers):
            yield replace(gateway, door=replace(door, key=key))


async def _named_key(door: Door) -> str:
    """Make a named key whose limits are counted and never reached."""
    url = f"http://127.0.0.1:{door.port}/admin/keys"
    async with (
        aiohttp.ClientSession() as client,
        client.post(url, json=_NEW_KEY, headers=door.fields, raise_for_status=True) as response,
    ):
        return str((await response.json())["key"])


def with_jemalloc(place: Place) -> AbstractAsyncContextManager[Running]:
    return everything_on(place, further=JEMALLOC)


@asynccontextmanager
async def nothing_on(place: Place) -> AsyncIterator[Running]:
    """No key, everybody's address, no active model, no usage asked for, nothing logged."""
    environ = {"IP_ALLOWLIST": "*", "ACCOUNT_STREAMS": "false", "LOG_LEVEL": "error"}
    async with lmgateway(place, Door(free_port()), environ) as gateway:
        yield gateway
