"""Clients and an LM Studio that mean harm: damaged requests, damaged answers, damaged loads."""

from __future__ import annotations

import asyncio
import re

from tests.hostile.conftest import KEY as KEY_OF_MUTATIONS
from tests.hostile.mutations import mutated
from tests.hostile_studio.exchanges import GATEWAY_FAILED, fault_of, request_of
from tests.hostile_studio.front import HOSTILE_MODEL
from tests.support.raw_client import raw_client

from .client import KEY, Broke, Client, Unexpected

_OWN_FAILURE = re.compile(rb"^HTTP/1\.1 500 ", re.MULTILINE)
# A damaged length may announce more than is sent.
PATIENCE_SECONDS = 0.5


async def damaged_answer(client: Client) -> str:
    """An honest request to which LM Studio's answer is damaged; the gateway's own must be an HTTP answer."""
    index = client.random.randrange(10**9)
    method, sent = request_of(client.seed, index, KEY)
    received = bytearray()
    async with raw_client(client.port) as peer:
        await peer.send(sent)
        try:
            while piece := await peer.reader.read(65536):
                received += piece
        except ConnectionError:
            if not received:
                raise
    if fault := fault_of(method, bytes(received)):
        raise (Broke if not received else Unexpected)(
            f"damage {index} of {client.seed!r}: {fault}: {received[:300]!r}"
        )
    return f"status {received[9:10].decode('latin-1')}xx"


async def damaged_load(client: Client) -> str:
    body = {"modelKey": f"{HOSTILE_MODEL}{client.random.randrange(10**9)}", "activate": False}
    async with client.request("POST", "/admin/models/load", json=body) as answer:
        content = await answer.read()
    if GATEWAY_FAILED in content:
        raise Unexpected(f"{answer.status} {content[:300]!r}")
    return f"status {answer.status}"


async def damaged_request(client: Client) -> str:
    """What it gets is its own fault, as long as the gateway stands it."""
    sent = mutated(client.seed, client.random.randrange(10**9)).replace(
        KEY_OF_MUTATIONS.encode(), KEY.encode()
    )
    if b"deactivate" in sent:
        return "not sent"
    received = bytearray()
    async with raw_client(client.port) as peer:
        await peer.send(sent)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while piece := await peer.reader.read(65536):
                    received += piece
        except (ConnectionError, TimeoutError):
            pass
    if _OWN_FAILURE.search(received) and GATEWAY_FAILED in received:
        raise Unexpected(f"{received[:1000]!r} to {sent[:1000]!r}")
    return "sent"
