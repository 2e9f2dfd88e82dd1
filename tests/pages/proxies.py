"""A gateway in front of the simulator, behind a proxy that the page's own block configures."""

from __future__ import annotations

import asyncio
import io
import json
import re
import ssl
import tomllib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import trustme
from aiohttp.abc import AbstractResolver, ResolveResult

from lmgateway.simulator import Pace, Simulator
from tests.support.gateway import Gateway, running_gateway
from tests.support.ports import reserved_port
from tests.support.reverse_proxies import running_caddy, running_nginx
from tests.support.studio import running_studio

from .documents import BLOCKS, Block

PAGE = "docs/reverse-proxies.md"
NAME = "llm.example.com"
KEY = "the owner"
MODEL = "qwen2.5-7b-instruct"
# The client's and the proxy's addresses differ, as on a network.
CLIENT = "127.0.0.2"
# Tokens for every answer of a test.
ENOUGH = 10_000


def block_of(section: str, language: str = "") -> Block:
    [block] = [
        block
        for block in BLOCKS
        if (block.page, block.section) == (PAGE, section) and language in {"", block.language}
    ]
    return block


def settings() -> dict[str, Any]:
    """The tables that the page says to write."""
    return tomllib.loads(block_of("The gateway's settings").text)


class OneByOne(Pace):
    """Each token waits for `tokens` to be released. Everything else takes no time."""

    def __init__(self) -> None:
        super().__init__(
            prompt_tokens_per_second=float("inf"), tokens_per_second=float("inf"), load_seconds=0
        )
        self.tokens = asyncio.Semaphore(0)

    async def token(self, speed: float = 1.0) -> None:
        await self.tokens.acquire()

    def give(self, tokens: int) -> None:
        for _ in range(tokens):
            self.tokens.release()


class _Everywhere(AbstractResolver):
    """Every name is this machine."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host="127.0.0.1", port=port, family=2, proto=0, flags=0),
        ]

    async def close(self) -> None: ...


@dataclass
class Behind:
    """`client` is one of the proxy's, at CLIENT, and trusts its certificate."""

    gateway: Gateway
    simulator: Simulator
    pace: OneByOne
    port: int
    authority: Path
    client: aiohttp.ClientSession

    def url(self, path: str) -> str:
        return f"https://{NAME}:{self.port}{path}"

    def chat(self, text: str = "Hello!", **body: object) -> Any:
        asked = {"model": MODEL, "messages": [{"role": "user", "content": text}], **body}
        return self.client.post(
            self.url("/v1/chat/completions"),
            data=io.BytesIO(json.dumps(asked).encode()),
            headers={"X-API-Key": KEY, "Content-Type": "application/json"},
        )

    async def status_of(self, text: str = "Hello!", **body: object) -> int:
        async with self.chat(text, **body) as response:
            await response.read()
            return int(response.status)

    async def seen_as(self) -> str:
        """The client's address of the last request."""
        headers = {"X-API-Key": KEY}
        async with self.gateway.client.get(self.gateway.url("/debug/requests"), headers=headers) as response:
            return str((await response.json())["recent"][-1]["client"])


@asynccontextmanager
async def behind(
    kind: str, folder: Path, /, *, block: str = "", **tables: dict[str, object]
) -> AsyncIterator[Behind]:
    """Run all three. `tables` change the page's settings; `block` takes the place of the page's."""
    pace = OneByOne()
    async with AsyncExitStack() as stack:
        simulator = Simulator(pace=pace)
        simulator.load(MODEL)
        studio = await stack.enter_async_context(running_studio(simulator))
        own: dict[str, dict[str, object]] = {
            "lmstudio": {"base_url": studio.base_url},
            "server": {"state_dir": str(folder / "state")},
            "auth": {"api_key": KEY},
        }
        page = settings()
        merged: dict[str, object] = {
            name: {**page.get(name, {}), **own.get(name, {}), **tables.get(name, {})}
            for name in {*page, *own, *tables}
        }
        gateway = await stack.enter_async_context(running_gateway(merged))
        stack.callback(pace.give, ENOUGH)
        run = _PROXIES[kind](folder, gateway.port, block)
        port, authority = await stack.enter_async_context(run)
        connector = aiohttp.TCPConnector(
            resolver=_Everywhere(),
            ssl=ssl.create_default_context(cafile=str(authority)),
            local_addr=(CLIENT, 0),
        )
        client = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        yield Behind(gateway, simulator, pace, port, authority, client)


@asynccontextmanager
async def _nginx(folder: Path, gateway: int, block: str) -> AsyncIterator[tuple[int, Path]]:
    authority = trustme.CA()
    leaf = authority.issue_cert(NAME)
    certificates = folder / "certificates"
    certificates.mkdir()
    (certificates / "fullchain.pem").write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    (certificates / "privkey.pem").write_bytes(leaf.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(certificates / "authority.pem"))
    text = (block or block_of("nginx").text).replace(f"/etc/ssl/{NAME}", str(certificates))
    with reserved_port() as (port, reserved):
        reserved.close()
        text = text.replace("listen 443", f"listen 127.0.0.1:{port}").replace("[::]:443", f"[::1]:{port}")
        async with running_nginx(folder, text.replace(":8002", f":{gateway}"), port):
            yield port, certificates / "authority.pem"


@asynccontextmanager
async def _caddy(folder: Path, gateway: int, block: str) -> AsyncIterator[tuple[int, Path]]:
    text = (block or block_of("Caddy", "caddyfile").text).replace(":8002", f":{gateway}")
    with reserved_port() as (port, reserved):
        reserved.close()
        text = re.sub(f"^{re.escape(NAME)} ", f"{NAME}:{port} ", text)
        async with running_caddy(folder, text, NAME, port) as authority:
            yield port, authority


_PROXIES = {"nginx": _nginx, "caddy": _caddy}
