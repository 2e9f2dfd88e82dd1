"""Limits of TLS connections, on both event loops: they begin with the accept, and end without the client."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

from lmgateway.server.client_connection import CLOSE_SECONDS
from tests.server.test_tls import show
from tests.support.gateway import Gateway, running_gateway
from tests.support.raw_client import RawClient, raw_client
from tests.support.requests import request
from tests.support.upstream import answer, scripted_upstream
from tests.support.waiting import PATIENCE_SECONDS, until

HEALTH = request(b"GET /health")
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
NEIGHBOUR = "127.0.0.2"

Run = Callable[[Coroutine[None, None, None]], None]
Https = Callable[..., AbstractAsyncContextManager[Gateway]]


class TlsClient:
    """A TLS client that never answers a close_notify, nor sends one."""

    def __init__(self, client: RawClient) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.raw = client
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)

    def hello(self) -> bytes:
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.do_handshake()
        return self._outgoing.read()

    async def shake_hands(self) -> None:
        await self._finish(self._tls.do_handshake)

    async def ask(self, sent: bytes) -> bytes:
        """Send a request, and return the first piece of its response."""
        self._tls.write(sent)
        return await self.read()

    async def read(self) -> bytes:
        """Return the next piece; b"" at the end."""
        return await self._finish(lambda: self._tls.read(65536))

    async def _finish(self, step: Callable[[], Any]) -> Any:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    await self.raw.send(self._outgoing.read())
                    received = await self.raw.reader.read(65536)
                    if not received:
                        return b""
                    self._incoming.write(received)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    settings = show(trustme.CA(), tmp_path_factory.mktemp("certificate"))
    return {"tls_cert": settings["GATEWAY_TLS_CERT"], "tls_key": settings["GATEWAY_TLS_KEY"]}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Run a scenario on this event loop."""

    def run(scenario: Coroutine[None, None, None]) -> None:
        with asyncio.Runner(debug=True, loop_factory=LOOPS[request.param]) as runner:
            runner.run(scenario)

    return run


@pytest.fixture
def https(tmp_path: Path, certificate: dict[str, str]) -> Https:
    """A gateway that serves https: `async with https(limits={"head_ms": 250}) as gateway`."""

    def https(**tables: dict[str, object]) -> AbstractAsyncContextManager[Gateway]:
        server = {"state_dir": str(tmp_path / "state"), "drain_seconds": 600, **certificate}
        return running_gateway({"server": server, **tables}, sweep_seconds=0.02, grace_seconds=0.05)

    return https


@asynccontextmanager
async def tls_client(gateway: Gateway, **where: str) -> AsyncIterator[TlsClient]:
    async with raw_client(gateway.port, **where) as client:
        connected = TlsClient(client)
        await connected.shake_hands()
        yield connected


async def is_served(gateway: Gateway, **where: str) -> bool:
    async with tls_client(gateway, **where) as client:
        return b" 200 " in await client.ask(HEALTH)


@pytest.mark.parametrize(
    "stage", ["accepted", "half a ClientHello", "ClientHello", "no request", "idle", "closed"]
)
def test_a_client_that_never_answers_does_not_hold_up_the_end(run: Run, https: Https, stage: str) -> None:
    """Whatever it has sent so far; drain_seconds is ten minutes."""

    async def scenario() -> None:
        async with AsyncExitStack() as clients, AsyncExitStack() as serving:
            gateway = await serving.enter_async_context(https())
            assert await is_served(gateway, source=NEIGHBOUR)
            raw = await clients.enter_async_context(raw_client(gateway.port))
            client = TlsClient(raw)
            if stage == "half a ClientHello":
                await raw.send(client.hello()[:100])
            elif stage == "ClientHello":
                await raw.send(client.hello())
                await raw.reader.read(1)
            elif stage != "accepted":
                await client.shake_hands()
            if stage == "idle":
                assert b" 200 " in await client.ask(HEALTH)
            elif stage == "closed":
                assert b" 200 " in await client.ask(request(b"GET /health", b"Connection: close"))
            async with asyncio.timeout(PATIENCE_SECONDS):
                await serving.aclose()

    run(scenario())


@pytest.mark.parametrize("hello", [b"", b"\x16\x03\x01"], ids=["nothing", "half a ClientHello"])
def test_connections_count_before_their_handshake_and_have_its_time_limit(
    run: Run, https: Https, hello: bytes
) -> None:
    """Those beyond the limit are closed at once; another address is served."""

    async def scenario() -> None:
        limits = {"connections_per_address": 20, "head_ms": 1000}
        async with https(limits=limits) as gateway, AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(raw_client(gateway.port)) for _ in range(60)]
            for client in clients:
                client.writer.write(hello)
            ends = [asyncio.create_task(reads_to_the_end(client)) for client in clients]
            await until(lambda: sum(end.done() for end in ends) == 40)
            assert await is_served(gateway, source=NEIGHBOUR)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.wait(ends)
            await until(lambda: not gateway.limits.connections)
            assert await is_served(gateway)

    run(scenario())


async def reads_to_the_end(client: RawClient) -> None:
    with suppress(ConnectionError):
        while await client.reader.read(65536):
            pass


def test_a_handshake_that_drips_is_cut_off_by_its_total_time(run: Run, https: Https) -> None:
    async def scenario() -> None:
        async with https(limits={"head_ms": 250}) as gateway, raw_client(gateway.port) as client:
            ended = asyncio.create_task(reads_to_the_end(client))
            for byte in TlsClient(client).hello():
                client.writer.write(bytes([byte]))
                await asyncio.wait([ended], timeout=0.02)
                if ended.done():
                    break
            assert ended.done()

    run(scenario())


def test_failed_handshakes_are_not_counted_any_more(run: Run, https: Https) -> None:
    async def scenario() -> None:
        async with https(limits={"connections_per_address": 1}) as gateway:
            for _ in range(3):
                async with raw_client(gateway.port) as client:
                    await client.send(b"GET / HTTP/1.1\r\n\r\n")
                    await reads_to_the_end(client)
            assert await is_served(gateway)

    run(scenario())


def test_a_connection_without_a_request_ends_without_the_clients_close_notify(run: Run, https: Https) -> None:
    """After head_ms, and not only half a minute later."""

    async def scenario() -> None:
        async with https(limits={"head_ms": 250}) as gateway, tls_client(gateway) as client:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await reads_to_the_end(client.raw)
            await until(lambda: not gateway.limits.connections)

    run(scenario())


def test_a_client_that_reads_the_end_of_its_response_slowly_gets_all_of_it(run: Run, https: Https) -> None:
    """Its connection is closed, but not aborted while bytes are on their way."""
    body = b"x" * 3_000_000

    async def scenario() -> None:
        async with scripted_upstream() as upstream:
            upstream.script = answer(body)
            async with (
                https(lmstudio={"base_url": upstream.base_url}) as gateway,
                tls_client(gateway) as client,
            ):
                received = len(await client.ask(request(b"GET /v1/files", b"Connection: close")))
                while piece := await client.read():
                    received += len(piece)
                    if received // 500_000 != (received - len(piece)) // 500_000:
                        await asyncio.sleep(2 * CLOSE_SECONDS)
        assert received > len(body)

    run(scenario())
