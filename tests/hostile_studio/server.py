"""The hostile LM Studio on a socket: HTTP and the SDK's WebSockets on one port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from tests.hostile_studio import sdk, sdk_sockets, websocket
from tests.hostile_studio.answers import Answer, honest, hostile
from tests.hostile_studio.exchanges import CASE, STREAMS
from tests.hostile_studio.sdk import Stage, Then
from tests.support.messages import parse_head
from tests.support.raw_server import raw_server
from tests.support.upstream import Received, read_body, reset

GREETING = "/lmstudio-greeting"
# The gateway's longest request line and fields, and more.
LIMIT = 1024**2
LATE_SECONDS = 0.005
_CONNECTING: frozenset[Stage] = frozenset({"greeting", "upgrade", "authentication"})
_CALLS = (None, None, "listDownloadedModels", "listLoaded", "getLoadConfig", "unloadModel", "version")


class SdkCase:
    """What is damaged of the SDK's conversations while this case lasts."""

    def __init__(self, seed: str, index: int) -> None:
        self.chance = Random(f"{seed}/{index}")
        self.stage: Stage = self.chance.choice(sdk.STAGES)
        self._call = self.chance.choice(_CALLS)

    def concerns(self, request: sdk.Message) -> bool:
        """True if the replies to this message are damaged."""
        if request.get("type") == "channelCreate":
            return self.stage in {"load", "socket"}
        return self.stage in {"message", "socket"} and self._call in {None, request.get("endpoint")}


@dataclass
class HostileStudio:
    """`sdk_case` is the damage of the SDK's sockets, None if there is none.

    `greeting` and `authentication` are the JSON with which LM Studio answers to a new connection.
    """

    seed: str
    port: int = 0
    sdk_case: SdkCase | None = None
    greeting: bytes = b'{"lmstudio":true}'
    authentication: bytes = b'{"success":true}'
    _sockets: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def begin_sdk(self, index: int) -> None:
        """Damage the SDK's conversations from now on; the damage of a connection needs a new one."""
        self.sdk_case = SdkCase(self.seed, index)
        if self.sdk_case.stage in _CONNECTING:
            for writer in self._sockets:
                writer.close()

    def end_sdk(self) -> None:
        self.sdk_case = None

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                line, fields = parse_head(await reader.readuntil(b"\r\n\r\n"))
                request = Received(fields, line=line)
                if request.one("Upgrade"):
                    await self._serve_socket(request, reader, writer)
                    return
                if request.target == GREETING:
                    if await self._end(self._greeting(), reader, writer):
                        return
                else:
                    await self._answer(request, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    # HTTP

    async def _answer(
        self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        case, path = request.one(CASE), request.target.partition("?")[0]
        stream = request.one(STREAMS) is not None
        if case is not None:
            answer = hostile(Random(f"{self.seed}/{case}"), path, stream=stream)
        elif self.sdk_case is not None and self.sdk_case.stage == "listing":
            answer = hostile(self.sdk_case.chance, path, stream=stream)
        else:
            answer = honest(path, stream=stream)
        if not answer.early:
            await read_body(request, reader)
        await _send(answer.wire(), answer.pieces, writer)
        if answer.early and answer.ending == "keep":
            await read_body(request, reader)
        if answer.ending == "late":
            await asyncio.sleep(LATE_SECONDS)
        writer.write(answer.after)
        await self._end((b"", _then(answer)), reader, writer)

    def _greeting(self) -> tuple[bytes, Then]:
        case = self.sdk_case
        if case is not None and case.stage == "greeting":
            return sdk_sockets.greeting(case.chance)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self.greeting)
        return head + self.greeting, "go on"

    async def _end(
        self, sent: tuple[bytes, Then], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Send the bytes, and do what is done then; return whether that ends the connection."""
        piece, then = sent
        writer.write(piece)
        match then:
            case "close":
                await writer.drain()
                writer.close()
            case "reset":
                reset(writer)
            case "silence":
                while await reader.read(65536):
                    pass
            case "go on":
                await writer.drain()
        return then != "go on"

    # The SDK

    async def _serve_socket(
        self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._sockets.add(writer)
        try:
            if await self._end(self._upgrade(request), reader, writer):
                return
            await websocket.read_frame(reader)
            if await self._end(self._authentication(), reader, writer):
                return
            while True:
                kind, payload = await websocket.read_frame(reader)
                if kind == websocket.CLOSE:
                    writer.write(websocket.frame(payload, websocket.CLOSE))
                    return
                if kind == websocket.PING:
                    writer.write(websocket.frame(payload, websocket.PONG))
                elif kind == websocket.TEXT:
                    for sent in self._replies(json.loads(payload), request.target.strip("/")):
                        if await self._end(sent, reader, writer):
                            return
        finally:
            self._sockets.discard(writer)

    def _upgrade(self, request: Received) -> tuple[bytes, Then]:
        key, case = request.one("Sec-WebSocket-Key") or "", self.sdk_case
        if case is not None and case.stage == "upgrade":
            return sdk_sockets.upgrade(case.chance, key)
        return websocket.upgraded(key), "go on"

    def _authentication(self) -> tuple[bytes, Then]:
        case = self.sdk_case
        if case is not None and case.stage == "authentication":
            return sdk_sockets.authentication(case.chance)
        return websocket.frame(self.authentication), "go on"

    def _replies(self, request: sdk.Message, namespace: str) -> Iterable[tuple[bytes, Then]]:
        messages, case = sdk.replies(request, namespace), self.sdk_case
        if case is None or not messages or not case.concerns(request):
            return sdk.encoded(messages)
        if case.stage == "socket":
            return sdk_sockets.damaged_socket(case.chance, messages)
        return sdk.damaged_replies(case.chance, request, messages)


def _then(answer: Answer) -> Then:
    """Return what follows an answer. Silence is over as soon as the gateway sends another request."""
    return answer.ending if answer.ending in {"close", "reset"} else "go on"  # type: ignore[return-value]


async def _send(data: bytes, pieces: int, writer: asyncio.StreamWriter) -> None:
    size = len(data) // pieces + 1
    for start in range(0, len(data), size):
        writer.write(data[start : start + size])
        await writer.drain()
        if pieces > 1:
            # So that the gateway may read each of them on its own.
            await asyncio.sleep(0)


@asynccontextmanager
async def hostile_studio(seed: str = "") -> AsyncIterator[HostileStudio]:
    studio = HostileStudio(seed)
    async with raw_server(studio.serve_connection, limit=LIMIT) as studio.port:
        yield studio
