"""An LM Studio that checks every request head."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.raw_server import raw_server
from tests.support.upstream import not_looking

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# The gateway's own request for the greeting is answered as any other, so this isn't LM Studio.
_LINE = re.compile(rb"(GET /lmstudio-greeting|%s (/v1|/api/v0|/api/v1)/[!-~]*) HTTP/1\.1" % _TOKEN)
_FIELD = re.compile(rb"(%s): ?([\t\x20-\x7e\x80-\xff]*)" % _TOKEN)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_NO_BODY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"


class FaultyHead(Exception):
    """What a strict server refuses (RFC 9112 sections 3, 5 and 6)."""


def judge(head: bytes, host: bytes) -> dict[bytes, bytes]:
    """Return the fields, by lower-case name, of a head without its empty line. Raises FaultyHead."""
    line, *lines = head.split(b"\r\n")
    if not _LINE.fullmatch(line):
        raise FaultyHead("the request line")
    pairs = []
    for text in lines:
        found = _FIELD.fullmatch(text)
        if found is None:
            raise FaultyHead(f"the field line {text!r}")
        pairs.append((found[1].lower(), found[2].strip()))
    counts = Counter(name for name, _ in pairs)
    fields = dict(pairs)
    if counts[b"host"] != 1 or fields[b"host"] != host:
        raise FaultyHead("Host")
    if counts[b"content-length"] + counts[b"transfer-encoding"] > 1:
        raise FaultyHead("two framings")
    if not re.fullmatch(rb"[0-9]{1,15}", fields.get(b"content-length", b"0")):
        raise FaultyHead("Content-Length")
    if fields.get(b"transfer-encoding", b"chunked") != b"chunked":
        raise FaultyHead("Transfer-Encoding")
    return fields


@dataclass
class StrictUpstream:
    """`complete` counts requests received with their whole body, by method."""

    port: int = 0
    complete: Counter[bytes] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                fields = judge(head.removesuffix(b"\r\n\r\n"), b"127.0.0.1:%d" % self.port)
                await _read_body(fields, reader)
                method = head.partition(b" ")[0]
                self.complete[method] += 1
                writer.write(_NO_BODY if method == b"HEAD" else _ANSWER)
        except FaultyHead as exc:
            self.faults.append(f"{exc}: {head!r}")
        except asyncio.IncompleteReadError as exc:
            if head == b"" and exc.partial:
                self.faults.append(f"half a head: {exc.partial!r}")
        except ConnectionError:
            pass
        finally:
            writer.close()


async def _read_body(fields: dict[bytes, bytes], reader: asyncio.StreamReader) -> None:
    if b"transfer-encoding" not in fields:
        await reader.readexactly(int(fields.get(b"content-length", b"0")))
        return
    while True:
        line = await reader.readuntil(b"\r\n")
        if not re.fullmatch(rb"[0-9a-fA-F]{1,8}\r\n", line):
            raise FaultyHead(f"the chunk size {line!r}")
        if await reader.readexactly(int(line, 16) + 2) == b"\r\n":
            return


@asynccontextmanager
async def strict_upstream() -> AsyncIterator[StrictUpstream]:
    upstream = StrictUpstream()
    with not_looking():
        async with raw_server(upstream.serve_connection, limit=1024**2) as upstream.port:
            yield upstream
