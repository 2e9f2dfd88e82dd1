"""What administrators do: watch the gateway, look at it, manage its models."""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import suppress
from typing import cast

from tests.support.raw_client import raw_client

from .client import CHAT_MODELS, EMBEDDING_MODEL, HEADERS, SPARE_MODEL, Broke, Client, Unexpected, expect

PAGES: tuple[tuple[str, int | tuple[int, ...]], ...] = (
    ("/debug/status", 200),
    ("/debug/metrics", 200),
    ("/debug/requests", 200),
    ("/metrics", 200),
    ("/dashboard", 200),
    ("/dashboard/access", 200),
    ("/dashboard/static/main.js", 200),
    ("/dashboard/static/no-such-file.js", 404),
    ("/health", 200),
    ("/health/ready", 200),
    ("/v1/models", 200),
    ("/", 200),
    ("/no/such/page", 404),
)
NO_LOADS = (
    ({"modelKey": "no-such-model"}, 404),
    ({"modelKey": SPARE_MODEL, "loadConfig": {"contextLength": -1}}, 400),
    ({"modelKey": SPARE_MODEL, "another": True, "loadConfig": {"contextLength": 10_000_000}}, 500),
    ({"model": SPARE_MODEL}, 400),
)


async def look(client: Client) -> str:
    path, status = client.random.choice(PAGES)
    async with client.request("GET", path) as answer:
        await expect(answer, status)
        await answer.read()
        etag = answer.headers.get("ETag")
    # LM Studio's list has the time in it, so its tag changes.
    if etag is not None and not path.startswith("/v1"):
        async with client.request("GET", path, headers={**HEADERS, "If-None-Match": etag}) as answer:
            await expect(answer, 304)
    return "complete"


async def read_events(client: Client) -> str:
    """Read for a while, leave, come back and go on from there."""
    last = 0
    for _ in range(client.random.randint(1, 2)):
        headers = {**HEADERS, **({"Last-Event-ID": str(last)} if last else {})}
        async with client.request("GET", "/debug/stream", headers=headers) as answer:
            await expect(answer)
            if await answer.content.readline() != b"event: connected\n":
                raise Unexpected("the first event isn't `connected`")
            with suppress(TimeoutError):
                async with asyncio.timeout(client.random.uniform(0.5, 8)):
                    while line := await answer.content.readline():
                        if line.startswith(b"id: "):
                            before, last = last, int(line[4:])
                            if last <= before:
                                raise Unexpected(f"event {last} follows {before}")
                    raise Unexpected("the events ended")
    return "left"


async def stop_reading_events(client: Client) -> str:
    """Ask for all that is remembered, and read none of it."""
    async with raw_client(client.port) as peer:
        peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await peer.send(b"GET /debug/stream HTTP/1.1\r\n" + client.head + b"Last-Event-ID: 0\r\n\r\n")
        cast("asyncio.Transport", peer.writer.transport).pause_reading()
        await asyncio.sleep(client.random.uniform(1, 50))
    return "left"


async def activate(client: Client) -> str:
    """Its type is given, because LM Studio may be down and can't be asked."""
    kind, model = client.random.choice(
        (*(("llm", model) for model in CHAT_MODELS), ("embedding", EMBEDDING_MODEL))
    )
    defaults = {"temperature": 0.5, "maxTokens": client.random.randint(20, 60)} if kind == "llm" else {}
    body = {"modelKey": model, "type": kind, "defaultInference": defaults}
    await client.ask("POST", "/admin/models/activate", json=body)
    active = await client.ask("GET", "/admin/models/active")
    if None in active.values():
        raise Unexpected(f"{model} was activated, and active is {active}")
    return f"complete, {kind}"


async def list_models(client: Client) -> str:
    models = await client.ask("GET", "/admin/models")
    if SPARE_MODEL not in {model["modelKey"] for model in models["downloaded"]}:
        raise Unexpected(f"{SPARE_MODEL} isn't among {models['downloaded']}")
    return "complete"


async def load_and_unload(client: Client) -> str:
    """A load, seen to its end and unloaded, or taken back in its middle."""
    instance = {"modelKey": SPARE_MODEL, "instanceId": f"soak-{secrets.token_hex(6)}"}
    body = {**instance, "activate": False, "ttlSeconds": 60}
    if client.random.random() < 0.3:
        return await _load_and_cancel(client, instance, body)
    await client.ask("POST", "/admin/models/load", json=body)
    async with client.request("POST", "/admin/models/unload", json=instance) as answer:
        if answer.status == 404:
            raise Broke(f"what was loaded isn't there any more: {await answer.text()}")
        await expect(answer)
    return "loaded, unloaded"


async def _load_and_cancel(client: Client, instance: dict[str, str], body: dict[str, object]) -> str:
    loading = asyncio.ensure_future(client.ask("POST", "/admin/models/load", json=body, status=409))
    try:
        await asyncio.sleep(client.random.uniform(0.5, 2))
        async with client.request("POST", "/admin/models/load/cancel", json=instance) as answer:
            if answer.status == 404:
                raise Broke(f"the load was gone before it could be cancelled: {await answer.text()}")
            await expect(answer)
        await loading
    finally:
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
    return "cancelled"


async def load_in_vain(client: Client) -> str:
    body, status = client.random.choice(NO_LOADS)
    await client.ask("POST", "/admin/models/load", json=body, status=status)
    return f"refused {status}"


async def leave_a_load(client: Client) -> str:
    """The load continues without its client; LM Studio unloads the model by its TTL."""
    body = {"modelKey": SPARE_MODEL, "activate": False, "ttlSeconds": 5}
    with suppress(TimeoutError):
        async with asyncio.timeout(client.random.uniform(0.1, 2)):
            await client.ask("POST", "/admin/models/load", json=body)
    return "left"
