"""The WebSockets of LM Studio's SDK: authentication and namespaces."""

import asyncio
import hmac
from contextlib import suppress
from typing import Annotated, Literal

import msgspec
from aiohttp import WSMsgType, web

from ..engine.clients import InvalidPasskey
from ..engine.studio import Studio
from ..keys import STUDIO
from . import diagnostics, files, models, system
from .endpoints import Namespace
from .port import Port

NAMESPACES = "/{namespace:llm|embedding|system|files|repository|diagnostics|plugins|runtime}"

NoMoreThan256 = Annotated[str, msgspec.Meta(max_length=256)]


class AuthPacket(msgspec.Struct, frozen=True, rename="camel"):
    """The first frame. Anonymous clients choose a random identifier and passkey."""

    auth_version: Literal[1]
    client_identifier: NoMoreThan256
    client_passkey: NoMoreThan256


class Refused(Exception):
    """Authentication failed; the message is sent to the client."""


def add_routes(router: web.UrlDispatcher) -> None:
    """The Python SDK opens five of these sockets at once."""
    router.add_route("GET", NAMESPACES, connect)


async def connect(request: web.Request) -> web.StreamResponse:
    studio = request.app[STUDIO]
    socket = web.WebSocketResponse(max_msg_size=0)
    await socket.prepare(request)
    with suppress(ConnectionResetError):  # the client disconnected during the answer
        try:
            packet = await _authenticate(socket, studio)
            with studio.clients.connected(packet.client_identifier, packet.client_passkey) as client:
                await socket.send_json({"success": True})
                await Port(socket, _namespace(request.match_info["namespace"], studio), client).serve()
        except (Refused, InvalidPasskey) as exc:
            await socket.send_json({"success": False, "error": str(exc)})
            await socket.close()
    return socket


def _namespace(name: str, studio: Studio) -> Namespace:
    match name:
        case "llm":
            return models.llm(studio)
        case "embedding":
            return models.embedding(studio)
        case "system":
            return system.namespace(studio)
        case "files":
            return files.namespace()
        case "diagnostics":
            return diagnostics.namespace(studio)
    return Namespace()


async def _authenticate(socket: web.WebSocketResponse, studio: Studio) -> AuthPacket:
    """Other frames before the authentication aren't answered, and don't extend its timeout."""
    try:
        async with asyncio.timeout(studio.authentication_seconds):
            packet = await _first_packet(socket)
    except TimeoutError:
        raise Refused("Authentication timed out") from None
    if studio.api_token and not hmac.compare_digest(_token(packet).encode(), studio.api_token.encode()):
        raise Refused("Malformed or unknown LM Studio API token provided.")
    return packet


async def _first_packet(socket: web.WebSocketResponse) -> AuthPacket:
    async for received in socket:
        if received.type is WSMsgType.TEXT:
            try:
                return msgspec.json.decode(received.data, type=AuthPacket)
            except msgspec.DecodeError:
                continue
    raise Refused("Connection closed before authentication completed")


def _token(packet: AuthPacket) -> str:
    """An API token is sent in two halves."""
    return f"sk-lm-{packet.client_identifier}:{packet.client_passkey}"
