"""The first stage of a proxied request: its head and body are read, and the body's members decoded once."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from ..traffic.dialects import Dialect
from ..traffic.long_body import LongBody
from ..traffic.members import MemberScan
from ..traffic.plan import Incoming
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

    Raises UnsupportedMediaType for a body that must be read and can't be decoded, and as Upload.read.
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
            body = await _find_members(text, request.app[TURNS], context.rules.profiles.aliases.match)
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
    text: bytes | bytearray, turns: Turns, alias_of: Callable[[str], object | None]
) -> LongBody:
    """Return a long body with its members. It is scanned in pieces if it takes long to decode."""
    await turns.next()
    body = decode_long(text, lambda name: alias_of(name) is not None)
    if body is None:
        scan = MemberScan(text, WANTED)
        while scan.step():
            await turns.next()
        body = LongBody.scanned(text, scan)
    return body
