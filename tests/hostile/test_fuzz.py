"""Ten thousand mutated requests, a thousand of them in the first tier.

`LMGATEWAY_FUZZ_REQUESTS` is how many the long test sends, `LMGATEWAY_FUZZ_SEED` picks which ones (any text),
and `LMGATEWAY_FUZZ_ONLY` sends one again, by its index. All are the same each time for the same seed:

    LMGATEWAY_FUZZ_REQUESTS=200000 LMGATEWAY_FUZZ_SEED=$RANDOM pytest -m long tests/hostile/test_fuzz.py
"""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.hostile.conftest import FIELDS, KEY
from tests.hostile.gateway_process import GatewayProcess, running_process
from tests.hostile.mutations import GOOD, good, mutated
from tests.hostile.wire import request
from tests.support.strict_upstream import StrictUpstream, strict_upstream
from tests.support.waiting import PATIENCE_SECONDS

SAMPLE = 1000
REQUESTS = int(os.environ.get("LMGATEWAY_FUZZ_REQUESTS", "10000"))
SEED = os.environ.get("LMGATEWAY_FUZZ_SEED", "1")
ONLY = os.environ.get("LMGATEWAY_FUZZ_ONLY")
AT_ONCE = 100
# Follows every request, and ends the connection if nothing else did.
LAST = request(b"GET /health", b"Connection: close")
# Longer than any body that isn't huge, for a gateway that still waits for one.
MORE = LAST * (70_000 // len(LAST))
_ACTIVE = b'{"modelKey":"m","type":"llm","defaultInference":{"temperature":0.5}}'
ACTIVATE = (
    b"POST /admin/models/activate HTTP/1.1\r\n"
    + FIELDS
    + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_ACTIVE)
    + _ACTIVE
)
_HUGE = re.compile(rb"[0-9A-Fa-f]{5}")
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")


class Conversation(asyncio.Protocol):
    """The bytes received on one connection. `ended` is done when it is closed."""

    def __init__(self) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self.received = bytearray()

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, _exc: Exception | None) -> None:
        self.ended.set_result(None)

    async def ends(self, seconds: float) -> bool:
        return bool((await asyncio.wait([self.ended], timeout=seconds))[0])


@dataclass
class Run:
    """Sends requests, and collects the faults.

    A request that isn't answered within `pause_seconds` may be incomplete: then more follows.
    """

    port: int
    pause_seconds: float = 0.3
    faults: list[str] = field(default_factory=list)
    statuses: dict[bytes, int] = field(default_factory=dict)

    async def send(self, cases: Iterator[tuple[int, bytes]]) -> None:
        for index, data in cases:
            fault = await self._send_one(index, data)
            if fault:
                self.faults.append(f"{fault}: seed {SEED!r}, index {index}: {data!r}")

    async def _send_one(self, index: int, data: bytes) -> str:
        loop = asyncio.get_running_loop()
        transport, conversation = await loop.create_connection(Conversation, "127.0.0.1", self.port)
        try:
            await _write(transport, index, data + LAST)
            if not await conversation.ends(self.pause_seconds):
                transport.write(MORE)
                # The gateway waits for a larger body until the end of input.
                if _HUGE.search(data):
                    await conversation.ends(0.3)
                    with suppress(OSError):
                        transport.write_eof()
                if not await conversation.ends(PATIENCE_SECONDS):
                    return f"no end, after {bytes(conversation.received)!r}"
        finally:
            transport.abort()
        statuses = _STATUS.findall(conversation.received)
        for status in statuses:
            self.statuses[status] = self.statuses.get(status, 0) + 1
        if any(status >= b"500" for status in statuses) or KEY.encode() in conversation.received:
            return repr(bytes(conversation.received))
        return ""


async def _write(transport: asyncio.Transport, index: int, data: bytes) -> None:
    """Send every third one in two pieces, so that its handler may run before the second one arrives."""
    cut = random.Random(index).randrange(len(data)) if index % 3 == 0 else 0
    if cut:
        transport.write(data[:cut])
        await asyncio.sleep(0.003)
    if not transport.is_closing():
        transport.write(data[cut:])


async def send_all(
    served: GatewayProcess, cases: Iterable[tuple[int, bytes]], *, are_complete: bool = False
) -> Run:
    run, shared = Run(served.port), iter(cases)
    if are_complete:  # a busy machine may take longer to answer them
        run.pause_seconds = PATIENCE_SECONDS
    await asyncio.gather(*(run.send(shared) for _ in range(AT_ONCE)))
    return run


def check(run: Run, served: GatewayProcess, upstream: StrictUpstream) -> None:
    for faults in (run.faults, upstream.faults):
        assert not faults, "\n".join([f"{len(faults)} faults:", *faults[:20]])
    assert served.alive
    log = served.log.decode()
    for sign in ("Traceback", "Logging error", " ERROR ", " CRITICAL "):
        assert sign not in log, log[max(0, log.index(sign) - 1000) :][:5000]


async def fuzz(folder: Path, requests: int) -> None:
    indices = [int(ONLY)] if ONLY else range(requests)
    async with strict_upstream() as upstream, running_process(folder, upstream.base_url) as served:
        # So that every chat body is filled in.
        await send_all(served, [(0, ACTIVATE)])
        run = await send_all(served, ((index, mutated(SEED, index)) for index in indices))
        # Afterwards: the same process, and every good request is answered, each part of a pair too.
        goods = ((index, good(index)) for index in range(3 * len(GOOD)))
        after = await send_all(served, goods, are_complete=True)
        check(run, served, upstream)
        check(after, served, upstream)
        assert after.statuses.keys() <= {b"100", b"200", b"204", b"404"}, after.statuses
        if not ONLY:
            # Many mutations are refused, and enough are forwarded to be worth checking.
            assert sum(upstream.complete.values()) > len(indices) / 8
            assert run.statuses[b"400"] > len(indices) / 5


HOW_MANY = [pytest.param(SAMPLE, id="few"), pytest.param(REQUESTS, id="many", marks=pytest.mark.long)]


@pytest.mark.timeout(120 + REQUESTS / 50)
@pytest.mark.parametrize("requests", HOW_MANY)
def test_no_mutated_request_breaks_or_blocks_the_gateway_or_confuses_lm_studio(
    tmp_path: Path, requests: int
) -> None:
    """No 5xx, no hang, no crash, no traceback, no key; nothing ambiguous upstream; good requests go on."""
    # A loop of its own: asyncio's debug mode would take longer than the gateway.
    with asyncio.Runner(debug=False) as runner:
        runner.run(fuzz(tmp_path, requests))
