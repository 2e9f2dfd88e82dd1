"""A gateway with every feature on, between a hostile client and a hostile LM Studio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial

import pytest

from lmgateway.schema.models import ActivateRequest, DefaultInference
from lmgateway.web.state import EVENTS, MODELS
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.raw_client import RawClient, raw_client
from tests.support.upstream import ScriptedUpstream

KEY = "sesame-of-the-house"
# The header fields of an admitted request.
FIELDS = b"Host: gateway.local\r\nX-API-Key: %s\r\n" % KEY.encode()
MODEL = "qwen2.5-7b-instruct"

Connect = Callable[..., AbstractAsyncContextManager[RawClient]]


@pytest.fixture
async def gateway(start_gateway: StartGateway, upstream: ScriptedUpstream) -> AsyncIterator[Gateway]:
    """Key, allowlist, injection and accounting are on, and there is a subscriber of the events."""
    gateway = await start_gateway(
        upstream.base_url,
        auth={"api_key": KEY},
        network={"ip_allowlist": ["127.0.0.1", "::1"]},
        models={MODEL: {"slots": 1000}},  # the line is on, and lets all of them run
    )
    defaults = DefaultInference(temperature=0.5, max_tokens=100)
    await gateway.app[MODELS].activate(
        ActivateRequest(model_key=MODEL, type="llm", default_inference=defaults)
    )
    with gateway.app[EVENTS].subscribe() as subscription:

        async def watch() -> None:
            while await subscription.next() is not None:
                pass

        watching = asyncio.create_task(watch())
        yield gateway
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


@pytest.fixture
def connect(gateway: Gateway) -> Connect:
    """Open a raw connection: `async with connect() as client`, or `connect(source="127.0.0.2")`."""
    return partial(raw_client, gateway.port)
