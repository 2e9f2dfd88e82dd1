"""An LM Studio that is honest to some and hostile to others: between a gateway and a pretend LM Studio.

The damage is that of one exchange. What would spoil a connection for the next request, or the SDK's shared
socket for other calls, is left out, because no peer could attribute it to one exchange.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from random import Random

from tests.hostile_studio import documents, sdk, websocket
from tests.hostile_studio.answers import hostile
from tests.hostile_studio.exchanges import CASE, STREAMS
from tests.hostile_studio.server import LIMIT
from tests.hostile_studio.values import damaged
from tests.support.messages import parse_head
from tests.support.raw_server import raw_server
from tests.support.upstream import Received, read_body, reset

# A model whose name begins so is loaded with damage, and isn't known to the pretend LM Studio.
HOSTILE_MODEL = "hostile-"
ODD_ENTRIES = 3
_LISTS = ("listDownloadedModels", "listLoaded")


class Front:
    """Listens while it is started, always on the same port."""

    def __init__(self, studio_port: int, seed: str) -> None:
        self.port = 0
        self._studio_port = studio_port
        self._seed = seed
        self._chance = Random(f"{seed}/front")
        self._running = AsyncExitStack()

    async def start(self) -> None:
        server = raw_server(self._serve, port=self.port, limit=LIMIT)
        self.port = await self._running.enter_async_context(server)

    async def stop(self) -> None:
        """End as a killed process does: every connection is gone."""
        await self._running.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            line, fields = parse_head(head)
            request = Received(fields, line=line)
            if request.one(CASE):
                await self._answer(request, reader, writer)
            elif request.one("Upgrade"):
                await self._pass_messages(head, request, reader, writer)
            else:
                await self._pass_request(head, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            writer.close()

    async def _answer(
        self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer with the damage of this number, and end the connection."""
        chance, path = Random(f"{self._seed}/{request.one(CASE)}"), request.target.partition("?")[0]
        answer = hostile(chance, path, stream=request.one(STREAMS) is not None)
        if not answer.early:
            await read_body(request, reader)
        # In one piece, so that nothing arrives after what the gateway takes for the end.
        writer.write(answer.wire() + answer.after)
        await writer.drain()
        match answer.ending:
            case "reset":
                reset(writer)
            case "silence":
                while await reader.read(65536):
                    pass

    async def _pass_request(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass a request on over a connection of its own, and its answer back; then end both."""
        studio_reader, studio_writer = await asyncio.open_connection("127.0.0.1", self._studio_port)
        studio_writer.write(head.removesuffix(b"\r\n") + b"Connection: close\r\n\r\n")
        # The gateway sends nothing but the body, until it leaves.
        sending = asyncio.create_task(_pass_bytes(reader, studio_writer, resets=True))
        try:
            await _pass_bytes(studio_reader, writer)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            studio_writer.transport.abort()

    async def _pass_messages(
        self, head: bytes, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        studio_reader, studio_writer = await asyncio.open_connection("127.0.0.1", self._studio_port)
        try:
            studio_writer.write(head)
            writer.write(await studio_reader.readuntil(b"\r\n\r\n"))
            lists: set[int] = set()
            async with asyncio.TaskGroup() as group:
                forth = group.create_task(
                    self._forth(request.target.strip("/"), lists, reader, writer, studio_writer)
                )
                await self._back(lists, studio_reader, writer)
                forth.cancel()
        except* (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            studio_writer.transport.abort()

    async def _forth(
        self,
        namespace: str,
        lists: set[int],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        studio_writer: asyncio.StreamWriter,
    ) -> None:
        """Pass the gateway's messages on, except the loads that are answered here."""
        while True:
            kind, payload = await websocket.read_frame(reader)
            message = json.loads(payload) if kind == websocket.TEXT else {}
            if message.get("endpoint") in _LISTS:
                lists.add(message["callId"])
            if message.get("type") == "channelCreate" and _is_hostile(message):
                for answered in odd_load(self._chance, message, namespace):
                    writer.write(websocket.frame(answered))
            else:
                studio_writer.write(websocket.frame(payload, kind, mask=True))

    async def _back(
        self, lists: set[int], studio_reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass LM Studio's messages back, and with each list some odd entries."""
        while True:
            kind, payload = await websocket.read_frame(studio_reader)
            message = json.loads(payload) if kind == websocket.TEXT else {}
            if message.get("callId") in lists and isinstance(message.get("result"), list):
                payload = self._with_odd_entries(message)
            writer.write(websocket.frame(payload, kind))
            await writer.drain()

    def _with_odd_entries(self, message: sdk.Message) -> bytes:
        entry = documents.instance(documents.downloaded()[0], "odd")
        odd = [damaged(self._chance, {**entry, "modelKey": "odd", "path": "odd"}) for _ in range(ODD_ENTRIES)]
        good = [json.dumps(entry).encode() for entry in message["result"]]
        entries = b",".join([*filter(_is_json, odd), *good])
        return b'{"type":"rpcResult","callId":%d,"result":[%s]}' % (message["callId"], entries)


def _is_hostile(message: sdk.Message) -> bool:
    return str(message.get("creationParameter", {}).get("modelKey")).startswith(HOSTILE_MODEL)


def odd_load(chance: Random, request: sdk.Message, namespace: str) -> list[bytes]:
    """Return the messages of a damaged load, without those that would end the socket."""
    messages = sdk.odd_load(chance, request, sdk.replies(request, namespace))
    return [payload for payload in messages if _is_json(payload)]


def _is_json(data: bytes) -> bool:
    with suppress(ValueError, RecursionError):
        return isinstance(json.loads(data.decode()), dict)
    return False


async def _pass_bytes(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, resets: bool = False
) -> None:
    """Pass everything on; with `resets`, end the other side at once when this one has ended."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    if resets:
        writer.transport.abort()
