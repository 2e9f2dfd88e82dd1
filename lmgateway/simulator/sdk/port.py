"""An authenticated WebSocket, which multiplexes calls and channels by their ids."""

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

import msgspec
from aiohttp import WSMsgType, web

from ..engine.clients import Client
from ..engine.faults import Fault
from .endpoints import Namespace, Stopped

T = TypeVar("T")

MOST_WARNINGS = 5


class Frame(msgspec.Struct, frozen=True, rename="camel"):
    """Any message of a client; its fields depend on its type."""

    type: str
    endpoint: str = ""
    call_id: int = 0
    channel_id: int = 0
    parameter: object = None
    creation_parameter: object = None
    message: object = None


class Mistake(Exception):
    """A frame that LM Studio answers with a warning only."""

    def __init__(self, warning: str, kind: str) -> None:
        super().__init__(warning)
        self.kind = kind


class Port:
    """Answer messages until the socket closes, then cancel what still runs."""

    def __init__(self, socket: web.WebSocketResponse, namespace: Namespace, client: Client) -> None:
        self._socket = socket
        self._client = client
        self._namespace = namespace
        self._channels: dict[int, OpenChannel] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._warnings = 0

    async def serve(self) -> None:
        async with asyncio.TaskGroup() as group:
            async for received in self._socket:
                if received.type is WSMsgType.TEXT:
                    await self._receive(received.data, group)
            for task in self._tasks:
                task.cancel()

    async def send(self, message: object) -> None:
        try:
            await self._socket.send_str(msgspec.json.encode(message).decode())
        except ConnectionResetError:
            # The reader will notice the closed socket too, and end everything.
            return

    async def _receive(self, text: str, group: asyncio.TaskGroup) -> None:
        try:
            frame = msgspec.json.decode(text, type=Frame)
        except msgspec.DecodeError:
            return  # LM Studio logs it and goes on
        try:
            match frame.type:
                case "rpcCall":
                    self._receive_call(frame, group)
                case "channelCreate":
                    self._receive_channel(frame, group)
                case "channelSend":
                    self._receive_packet(frame)
                case "keepAlive":
                    await self.send({"type": "keepAliveAck"})
        except Mistake as mistake:
            await self._warn(mistake)

    def _receive_call(self, frame: Frame, group: asyncio.TaskGroup) -> None:
        rpc = self._namespace.rpcs.get(frame.endpoint)
        if rpc is None:
            raise Mistake(f"unknown endpoint, endpoint = {frame.endpoint}", "rpcEndpointUnknown")
        parameter = _converted(frame.parameter, rpc.parameter, "rpcParameterTypeError")
        self._client.log_call(frame.endpoint)
        self._start(self._call(frame, rpc.handler(parameter)), group)

    async def _call(self, frame: Frame, work: Awaitable[object]) -> None:
        try:
            result = await work
        except Fault as fault:
            self._client.log_fault(frame.endpoint, "RPC", fault)
            await self.send({"type": "rpcError", "callId": frame.call_id, "error": fault.serialized()})
            return
        answer = {"type": "rpcResult", "callId": frame.call_id}
        await self.send(answer if result is msgspec.UNSET else {**answer, "result": result})

    def _receive_channel(self, frame: Frame, group: asyncio.TaskGroup) -> None:
        endpoint = self._namespace.channels.get(frame.endpoint)
        if endpoint is None:
            raise Mistake(f"unknown endpoint, endpoint = {frame.endpoint}", "channelEndpointUnknown")
        if frame.channel_id in self._channels:
            raise Mistake(f"already open channel, channelId = {frame.channel_id}", "channelAlreadyOpen")
        parameter = _converted(
            frame.creation_parameter, endpoint.parameter, "channelCreationParameterTypeError"
        )
        channel = OpenChannel(self, frame.channel_id, endpoint.stop)
        self._channels[frame.channel_id] = channel
        self._client.log_call(frame.endpoint)
        self._start(self._run_channel(frame, endpoint.handler(parameter, channel)), group)

    async def _run_channel(self, frame: Frame, work: Awaitable[None]) -> None:
        place = {"channelId": frame.channel_id}
        try:
            await work
        except Fault as fault:
            self._client.log_fault(frame.endpoint, "channel", fault)
            await self.send({"type": "channelError", **place, "error": fault.serialized()})
        else:
            await self.send({"type": "channelClose", **place})
        finally:
            del self._channels[frame.channel_id]

    def _receive_packet(self, frame: Frame) -> None:
        channel = self._channels.get(frame.channel_id)
        if channel is None:
            raise Mistake(f"unknown channel, channelId = {frame.channel_id}", "channelUnknown")
        if frame.message != {"type": channel.stop_type}:
            raise Mistake(f"invalid message, channelId = {frame.channel_id}", "channelMessageTypeError")
        channel.stop()

    async def _warn(self, mistake: Mistake) -> None:
        """A warning has no id, so the caller waits forever. After five, a socket gets no more warnings."""
        if self._warnings < MOST_WARNINGS:
            self._warnings += 1
            warning = f"Received something wrong: {mistake}"
            await self.send({"type": "communicationWarning", "warning": warning, "kind": mistake.kind})

    def _start(self, work: Coroutine[object, object, None], group: asyncio.TaskGroup) -> None:
        task = group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class OpenChannel:
    def __init__(self, port: Port, channel_id: int, stop_type: str) -> None:
        self.channel_id = channel_id
        self.stop_type = stop_type
        self._port = port
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()

    async def send(self, packet: object) -> None:
        await self._port.send({"type": "channelSend", "channelId": self.channel_id, "message": packet})

    async def until_stopped(self, work: Awaitable[T]) -> T:
        task = asyncio.ensure_future(work)
        stopped = asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Stopped
            return task.result()
        finally:
            task.cancel()
            stopped.cancel()
            await asyncio.gather(task, stopped, return_exceptions=True)


def _converted(parameter: object, expected: Any, kind: str) -> Any:
    try:
        return msgspec.convert(parameter, expected)
    except msgspec.ValidationError as exc:
        raise Mistake(f"invalid parameter. {exc}", kind) from exc
