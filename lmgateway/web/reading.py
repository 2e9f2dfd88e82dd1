"""The first stage of a proxied request: its head and body are read, and the body's members decoded once."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from ..errors import BadRequest
from ..traffic.dialects import Dialect
from ..traffic.long_body import LongBody
from ..traffic.members import MemberScan
from ..traffic.plan import Incoming, left_out
from ..traffic.prompt_size import PromptScan
from ..traffic.rewrite import WANTED, Body, decode_long
from ..traffic.short_body import SHORT_BYTES, ShortBody
from ..traffic.target import Target
from ..turns import Turns
from .context import RequestContext
from .held_bodies import HeldBody
from .request_bodies import Upload
from .state import TURNS


async def read(
    request: web.Request, context: RequestContext, target: Target, dialect: Dialect | None, held: HeldBody
) -> Incoming:
    """Return the request. Its body is read and decoded only if parameters may be filled in.

    Raises UnsupportedMediaType for a body that must be read and can't be decoded, BadRequest, and as
    Upload.read.
    """
    headers, limits = context.head.for_upstream(), context.rules.config.proxy
    body: Body | Upload | None = None
    if dialect is not None:
        upload = Upload(request, limits.max_body_bytes)
        text: bytes | bytearray | None
        if (coding := context.head.content_coding) is not None:
            text = await upload.read(held, coding)
            headers.popall("Content-Encoding", None)
        else:
            text = upload.arrived(held)
            if text is None:
                text = await upload.read(held)
        if isinstance(text, bytes) and len(text) <= SHORT_BYTES:
            body = ShortBody.decoded(text)
        else:
            without = left_out(dialect, context.rules.config)
            aliases = context.rules.profiles.aliases
            body = await _find_members(text, request.app[TURNS], aliases.match, without)
    else:
        upload = Upload(request, limits.max_upload_bytes)
        if (length := request.headers.get("Content-Length")) is not None:
            headers["Content-Length"] = length
        if request.body_exists:
            body = upload
    return Incoming(request.method, target, headers, dialect, body)


async def prompt_bytes(body: Body, turns: Turns) -> int:
    """Return the bytes of text in a body. A long one is read in pieces."""
    scan = PromptScan(body.text)
    while scan.step():
        await turns.next()
    return scan.text_bytes


async def _find_members(
    text: bytes | bytearray, turns: Turns, alias_of: Callable[[str], object | None], without: str | None
) -> LongBody:
    """Return a long body with its members. It is scanned in pieces if it takes long to decode.

    Raises BadRequest if there are two members of the name `without`.
    """
    await turns.next()
    body = decode_long(text, lambda name: alias_of(name) is not None, without)
    return await scan_members(text, turns, without) if body is None else body


async def scan_members(text: bytes | bytearray, turns: Turns, without: str | None = None) -> LongBody:
    """Return a long body with its members and their places. It is scanned in pieces.

    Raises BadRequest if there are two members of the name `without`.
    """
    scan = MemberScan(text, WANTED)
    while scan.step():
        await turns.next()
    if without in scan.repeated:  # there may be millions
        raise BadRequest(f"The body has more than one `{without}`.")
    return LongBody.scanned(text, scan)
