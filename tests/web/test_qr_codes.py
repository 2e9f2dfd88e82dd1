"""POST /dashboard/qr: QR codes of addresses and sign-in links."""

from __future__ import annotations

import asyncio
import logging
import threading
from xml.etree import ElementTree as ET

import pytest

from lmgateway.web import qr
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.keys import OWNER, Reply, call, make_key

NOWHERE = "http://127.0.0.1:9"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
async def gateway(start_gateway: StartGateway) -> Gateway:
    return await start_gateway(NOWHERE, auth={"api_key": OWNER})


async def ask(gateway: Gateway, text: object, key: str | None = OWNER) -> Reply:
    return await call(gateway, "POST", "/dashboard/qr", {"text": text}, key=key)


async def test_a_code_is_an_image_with_a_margin(gateway: Gateway) -> None:
    """ISO/IEC 18004: 4 modules of margin; 30 characters at level M need version 3, 29 modules."""
    reply = await ask(gateway, "http://192.168.1.20:8002/dash?")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "image/svg+xml")
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    image = ET.fromstring(reply.body)
    assert (image.tag, image.get("viewBox")) == (f"{SVG}svg", "0 0 37 37")
    assert {node.tag for node in image} == {f"{SVG}path"}


async def test_any_key_may_ask_and_none_may_not(gateway: Gateway) -> None:
    """Making a code takes time, so a stranger gets none."""
    assert (await ask(gateway, "x", await make_key(gateway, scopes=["inference"]))).status == 200
    assert (await ask(gateway, "x", None)).status == 401


async def test_a_gateway_without_keys_needs_none(start_gateway: StartGateway) -> None:
    assert (await ask(await start_gateway(NOWHERE), "x", None)).status == 200


async def test_a_sign_in_link_is_neither_refused_nor_logged(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """Other bodies with a key in them are refused."""
    caplog.set_level(logging.DEBUG)
    secret = await make_key(gateway)
    reply = await ask(gateway, f"http://192.168.1.20:8002/dashboard#key={secret}")
    assert reply.status == 200
    assert secret not in caplog.text


@pytest.mark.parametrize("text", ["", "x" * 501, "k\u00e9y", "a\nb", "a\n", 5, None])
async def test_another_text_is_refused(gateway: Gateway, text: object) -> None:
    """An image of any size would take seconds."""
    reply = await ask(gateway, text)
    assert (reply.status, reply.paths) == (400, ["text"])


async def test_the_longest_text_has_a_code(gateway: Gateway) -> None:
    assert (await ask(gateway, "x" * 500)).status == 200


async def test_clients_that_leave_have_no_codes_made_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread can't be ended. Many of them would keep the event loop waiting."""
    began, go_on = threading.Semaphore(0), threading.Event()

    def make(text: str) -> bytes:
        began.release()
        assert go_on.wait(5)
        return text.encode()

    monkeypatch.setattr(qr, "_svg", make)
    codes = qr.QrCodes()
    left = asyncio.create_task(codes.svg("left"))
    await asyncio.to_thread(began.acquire)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    other = asyncio.create_task(codes.svg("other"))
    assert not await asyncio.to_thread(began.acquire, timeout=0.2)
    go_on.set()
    assert await asyncio.wait_for(other, 5) == b"other"
