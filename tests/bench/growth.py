"""How the gateway's cost grows with streams, bodies, event subscribers and networks in its allowlist."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence

from msgspec import Struct

from . import wrk
from .asking import Asking
from .figures import Percentiles
from .gateway import everything_on
from .measuring import of_requests, of_streams, warm
from .place import Place, Running
from .tables import busy, number, table
from .wire import chat

STREAMS = (1, 10, 100, 1000)
STREAM_TOKENS_PER_SECOND = 20
BODY_BYTES = {"1 kB": 1024, "32 kB": 32 * 1024, "256 kB": 256 * 1024, "1 MB": 1024**2, "4 MB": 4 * 1024**2}
SUBSCRIBERS = (0, 1, 10, 100)
NETWORKS = (1, 10, 100, 1000)
# The pause between the small requests beside a large body.
PING_PAUSE_SECONDS = 0.002
_LAG = re.compile(rb"^lmgateway_event_loop_lag_seconds ([0-9.e+-]+)", re.MULTILINE)


class Growth(Struct, frozen=True):
    """One table: what grows, and the figures at each size."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        return f"**{self.title}**\n\n{table(self.headings, self.rows)}"


async def all_growth(place: Place, seconds: float) -> AsyncIterator[Growth]:
    """Measure for so long at each size."""
    yield await _of_streams(place, seconds)
    yield await _of_bodies(place, seconds)
    yield await _of_subscribers(place, seconds)
    yield await _of_networks(place, seconds)


async def _of_streams(place: Place, seconds: float) -> Growth:
    rows = []
    async with everything_on(place) as gateway:
        await warm(gateway)
        for number_of_streams in STREAMS:
            streams = await of_streams(place, gateway, number_of_streams, STREAM_TOKENS_PER_SECOND, seconds)
            rows.append(
                (
                    f"{streams.open:,}",
                    f"{streams.tokens_per_second:,.0f}",
                    number(streams.cpu_us),
                    f"{streams.delay_ms.p50:.2f} / {streams.delay_ms.p99:.2f}",
                    f"{streams.stream_kb:.0f}" if streams.number >= 100 else "-",
                    f"{streams.whole:,} / {streams.cut:,} / {streams.lost_tokens:,}",
                    busy(streams.busy),
                )
            )
    headings = (
        *("streams", "tokens/s", "CPU µs per chunk", "token's delay p50 / p99 ms", "kB per stream"),
        *("whole / cut / tokens lost", "busy %"),
    )
    return Growth(f"Streams, {STREAM_TOKENS_PER_SECOND} tokens a second each", headings, tuple(rows))


async def _of_bodies(place: Place, seconds: float) -> Growth:
    rows = []
    async with everything_on(place) as gateway:
        await warm(gateway)
        for name, size in BODY_BYTES.items():
            rows.append((name, *await _with_body(place, gateway, chat(size=size), seconds)))
    headings = (
        *("body", "CPU µs per request", "requests/s", "others wait p50 / p99 / worst ms"),
        "loop's lag, worst ms",
    )
    return Growth("Bodies that something is filled into, on one connection", headings, tuple(rows))


async def _with_body(place: Place, gateway: Running, body: bytes, seconds: float) -> tuple[str, ...]:
    """Post it repeatedly, while another client sends small requests."""
    accounts = gateway.accounts(place)
    await _lag_ms(gateway)
    async with Asking.connected(gateway.door.port) as other:
        ping = other.ask_for(gateway.door.get("/health"), seconds, pause=PING_PAUSE_SECONDS)
        before = accounts.spent()
        counted, waits = await asyncio.gather(wrk.requests(gateway.door, body, seconds, connections=1), ping)
        spent = accounts.spent() - before
    waited = Percentiles.of(waits)
    return (
        number(spent.target * 1e6 / counted.requests),
        f"{counted.per_second:,.0f}",
        f"{waited.p50:.1f} / {waited.p99:.1f} / {waited.worst:.1f}",
        f"{await _lag_ms(gateway):.1f}",
    )


async def _lag_ms(gateway: Running) -> float:
    """Return the worst lag of the gateway's loop since the last call, from its own metrics."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.door.port)
    try:
        writer.write(gateway.door.get("/metrics").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        lag = _LAG.search(await reader.read(-1))
    finally:
        writer.close()
    return float(lag[1]) * 1000 if lag else 0.0


async def _of_subscribers(place: Place, seconds: float) -> Growth:
    rows = []
    for subscribers in SUBSCRIBERS:
        async with everything_on(place, subscribers=subscribers) as gateway:
            rows.append((f"{subscribers}", *await _cost(place, gateway, seconds)))
    return _costs("Readers of /debug/stream", "readers", rows)


async def _of_networks(place: Place, seconds: float) -> Growth:
    rows = []
    for networks in NETWORKS:
        async with everything_on(place, networks=_networks(networks)) as gateway:
            rows.append((f"{networks:,}", *await _cost(place, gateway, seconds)))
    return _costs("Networks in the allowlist, of mixed sizes", "networks", rows)


def _networks(count: int) -> list[str]:
    """Return so many networks of all sizes from /13 to /32, the last of them this machine's."""
    others = [f"10.{n % 256}.{n // 256}.0/{13 + n % 20}" for n in range(count - 1)]
    return [*others, "127.0.0.1"]


async def _cost(place: Place, gateway: Running, seconds: float) -> tuple[float, float]:
    """Return CPU µs per request, and requests a second."""
    await warm(gateway)
    requests = await of_requests(place, gateway, chat(), seconds)
    return requests.cpu_us, requests.per_second


def _costs(title: str, what: str, rows: Sequence[tuple[str, float, float]]) -> Growth:
    least = rows[0][1]
    shown = tuple((name, number(cpu), f"{cpu / least:.2f}", f"{rate:,.0f}") for name, cpu, rate in rows)
    return Growth(title, (what, "CPU µs per request", "times the first", "requests/s"), shown)
