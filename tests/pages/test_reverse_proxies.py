"""The blocks of docs/reverse-proxies.md, in the real nginx and the real Caddy.

Only ports and paths are replaced. Caddy gets its certificate from an authority of its own, because there is
no Internet, and nginx from the test's. Traefik and Tailscale aren't run: their blocks are parsed.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from lmgateway.config import Proxy, Queue
from tests.support.waiting import PATIENCE_SECONDS

from .documents import BLOCKS, read
from .proxies import ENOUGH, KEY, MODEL, NAME, PAGE, Behind, behind, block_of, settings
from .reader import reading

# How long a proxy keeps an idle connection to a server: nginx's and Caddy's manuals, Go's DefaultTransport.
IDLE_SECONDS = {"nginx": 60, "Caddy": 120, "Traefik": 90, "Tailscale": 90}


async def test_events_are_not_buffered(setup: Behind) -> None:
    """Each token is at the client before LM Studio makes the next one."""
    async with asyncio.timeout(PATIENCE_SECONDS), setup.chat(stream=True, max_tokens=3) as response:
        assert response.status == 200
        for _ in range(3):
            setup.pace.give(1)
            while not _content(await response.content.readuntil(b"\n\n")):
                pass
        assert b"[DONE]" in await response.content.read()


def _content(event: bytes) -> str:
    if not event.startswith(b"data: {"):
        return ""
    choices = json.loads(event.removeprefix(b"data: "))["choices"]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


async def test_debug_events_arrive_at_once(setup: Behind) -> None:
    """The dashboard's stream is silent most of the time."""
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        setup.client.get(setup.url("/debug/stream"), headers={"X-API-Key": KEY}) as events,
    ):
        assert b"event: connected" in await events.content.readuntil(b"\n\n")


@asynccontextmanager
async def asking(setup: Behind, *, stream: bool = False) -> AsyncIterator[asyncio.subprocess.Process]:
    """Have curl ask, and yield it when LM Studio has the request; press Ctrl-C at the end.

    aiohttp's client doesn't close a TLS connection before its peer has.
    """
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "Hello!"}], "stream": stream}
    process = await asyncio.create_subprocess_exec(
        *("curl", "--silent", "--no-buffer", "--cacert", str(setup.authority)),
        *("--connect-to", f"{NAME}:443:127.0.0.1:{setup.port}", f"https://{NAME}/v1/chat/completions"),
        *("--header", f"X-API-Key: {KEY}", "--json", json.dumps({**asked, "max_tokens": 2})),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        await setup.simulator.ledger.wait(begun=1)
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        await process.wait()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_stops_the_gpu(setup: Behind, stream: bool) -> None:
    """Also one that waits for a response without streaming."""
    ledger = setup.simulator.ledger
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with asking(setup, stream=stream):
            assert ledger.total.aborted == 0
        await ledger.wait(aborted=1)
    assert ledger.total.finished == 0


async def test_caddy_with_flush_interval_goes_on_without_its_client(tmp_path: Path) -> None:
    """The page warns of it, so it must be true."""
    block = block_of("Caddy", "caddyfile").text.replace(":8002\n", ":8002 {\n\t\tflush_interval -1\n\t}\n")
    async with behind("caddy", tmp_path, block=block) as setup, asyncio.timeout(PATIENCE_SECONDS):
        async with asking(setup):
            pass
        setup.pace.give(2)
        await setup.simulator.ledger.wait(finished=1)
        assert setup.simulator.ledger.total.aborted == 0


async def test_large_bodies_pass(setup: Behind) -> None:
    """An image of 3 MiB, as base64; nginx refuses more than 1 MiB by default."""
    setup.pace.give(ENOUGH)
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * (4 << 20)}}
    content: list[Any] = [{"type": "text", "text": "What is it?"}, image]
    async with setup.chat(messages=[{"role": "user", "content": content}], max_tokens=1) as response:
        body = await response.text()
        assert response.status == 200, body
    assert setup.simulator.ledger.total.finished == 1


async def test_the_gateway_s_own_limit_of_a_body_applies(proxy: str, tmp_path: Path) -> None:
    """The page says that the proxy needs none."""
    async with behind(proxy, tmp_path, proxy={"max_body_bytes": 1000}) as setup:
        assert await setup.status_of("x" * 2000) == 413


async def test_the_check_of_the_page(setup: Behind, tmp_path: Path) -> None:
    """Its block, with the certificate's authority and the port in .curlrc."""
    setup.pace.give(ENOUGH)
    (tmp_path / "reader").mkdir()
    async with reading(tmp_path / "reader", setup.gateway.port) as reader:
        with (tmp_path / "reader/home/.curlrc").open("a") as curlrc:
            curlrc.write(f'cacert = "{setup.authority}"\nconnect-to = "{NAME}:443:127.0.0.1:{setup.port}"\n')
        block = block_of("Check it")
        printed = await reader.run(replace(block, text=block.text.replace("Bearer KEY", f"Bearer {KEY}")))
    assert printed.endswith("data: [DONE]\n\n")


@pytest.mark.long
async def test_a_minute_of_silence_is_no_end(setup: Behind) -> None:
    """nginx would give up after 60 s, its default."""
    answer = asyncio.create_task(setup.status_of(max_tokens=1))
    await setup.simulator.ledger.wait(begun=1)
    await asyncio.sleep(65)
    setup.pace.give(ENOUGH)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await answer == 200


def test_the_proxies_wait_longer_than_the_gateway() -> None:
    """nginx's two limits of silence; Caddy has none unless its block sets one."""
    longest_silence = (Queue().max_wait_plain_ms + Proxy().timeout_ms) / 1000
    hours = re.findall(r"proxy_(?:read|send)_timeout (\d+)h;", block_of("nginx").text)
    assert len(hours) == 2
    assert all(int(number) * 3600 > longest_silence for number in hours)
    assert "timeout" not in block_of("Caddy", "caddyfile").text


def test_the_gateway_keeps_idle_connections_longer_than_the_proxies() -> None:
    """Otherwise a proxy sends a request on a connection that the gateway is closing."""
    assert settings()["limits"]["idle_ms"] > max(IDLE_SECONDS.values()) * 1000


def test_traefik_s_two_files_fit_together() -> None:
    """Names that one of them uses are defined in the other, and no time limit cuts off an upload."""
    static, dynamic = [
        yaml.safe_load(block.text) for block in BLOCKS if (block.page, block.section) == (PAGE, "Traefik")
    ]
    [router] = dynamic["http"]["routers"].values()
    [entry_point] = router["entryPoints"]
    timeouts = static["entryPoints"][entry_point]["transport"]["respondingTimeouts"]
    assert timeouts["readTimeout"] == "0s"
    assert router["tls"]["certResolver"] in static["certificatesResolvers"]
    assert router["rule"] == f"Host(`{NAME}`)"
    [server] = dynamic["http"]["services"][router["service"]]["loadBalancer"]["servers"]
    assert server["url"].endswith(":8002")
    assert f"`{static['providers']['file']['filename']}`" in read(PAGE)


def test_tailscale_s_commands_have_the_form_of_its_manual() -> None:
    """`tailscale serve [flags] <target>`, and the subcommands `status` and `reset`."""
    words = [shlex.split(line) for line in block_of("Tailscale").text.splitlines()]
    assert words == [
        ["tailscale", "serve", "--bg", "http://127.0.0.1:8002"],
        ["tailscale", "serve", "status"],
    ]
