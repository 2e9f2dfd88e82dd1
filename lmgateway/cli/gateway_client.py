"""The client of a running gateway's API that the commands use."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from yarl import URL

from ..aiohttp_private.flow_control import unread_end
from ..aiohttp_private.parse_errors import LineTooLong
from . import certificates, demo_key
from .connection_failures import redirected, unreachable
from .failures import EX_NOPERM, EX_UNAVAILABLE, EX_USAGE, RequestFailed
from .wording import with_commands

# The exit status (sysexits.h) for each HTTP status of the gateway; 1 for others.
_EXIT_STATUS = {400: 65, 401: EX_NOPERM, 403: EX_NOPERM, 404: 66, 415: 65, 502: 69, 503: 69, 504: 69}
CONNECT_SECONDS = 5
# For the longest line of an event: aiohttp fails for one that is longer than twice its buffer.
EVENT_BYTES = 512 * 1024
_NOT_A_GATEWAY = "The server at this address isn't an lmgateway."
_WHERE_FROM = (
    "The owner's is auth.api_key in the gateway's config.toml. It makes others: `lmgateway keys add NAME`."
)
_WRONG_KEY = (
    "The gateway doesn't accept this key: it is wrong, was revoked, or has expired. Give another one with "
    f"--key, or in GATEWAY_API_KEY. {_WHERE_FROM}"
)
_NO_KEY = f"The gateway requires a key. Give it with --key, or in GATEWAY_API_KEY. {_WHERE_FROM}"


class Event(NamedTuple):
    name: str
    data: dict[str, Any]
    id: str | None


class GatewayClient:
    """The admin API of one gateway."""

    def __init__(self, session: aiohttp.ClientSession, place: URL) -> None:
        self._session = session
        self._place = place

    @property
    def sends_key(self) -> bool:
        return "X-API-Key" in self._session.headers

    @property
    def url(self) -> str:
        return str(self._place)

    async def request(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        """Return the response's JSON. Raises RequestFailed."""
        async with self._response(method, path, json=body) as response:
            answer = await response.json()
            if not isinstance(answer, dict) or "error" in answer:
                # LM Studio responds to an unknown path with status 200 and the error "Unexpected endpoint".
                raise RequestFailed(_NOT_A_GATEWAY, EX_UNAVAILABLE)
            return answer

    async def text(self, path: str, media_type: str) -> str:
        """Return the text of a response of this type. Raises RequestFailed."""
        async with self._response("GET", path) as response:
            if response.content_type != media_type:
                raise RequestFailed(_NOT_A_GATEWAY, EX_UNAVAILABLE)
            return await response.text()

    async def events(self, *names: str, last_id: str | None = None) -> AsyncIterator[Event]:
        """Yield each event as it is published, `connected` first; with `names`, only those kinds.

        With `last_id`, the events after that one are replayed first. Raises RequestFailed, with
        EX_UNAVAILABLE if the connection is lost.
        """
        headers = {"Last-Event-ID": last_id} if last_id else {}
        query = {"types": ",".join(names)}
        async with self._response("GET", "/debug/stream", params=query, headers=headers) as response:
            name, number = "", None
            async for line in response.content:
                field, _, value = line.decode().rstrip("\r\n").partition(": ")
                if field == "id":
                    number = value
                elif field == "event":
                    name = value
                elif field == "data":
                    yield Event(name, json.loads(value), number)
                    number = None

    async def stream(
        self, path: str, body: Mapping[str, object], headers: Mapping[str, str]
    ) -> AsyncGenerator[str, None]:
        """Yield the lines of a stream of events that answers this body. Raises RequestFailed."""
        async with self._response("POST", path, json=body, headers=headers) as response:
            if response.content_type != "text/event-stream":
                raise RequestFailed(_NOT_A_GATEWAY, EX_UNAVAILABLE)
            try:
                async for line in response.content:
                    yield _text(line)
            except aiohttp.ClientError:
                # aiohttp's reader fails at once, also if its buffer still has the event that says why.
                for line in unread_end(response.content, sys.maxsize).splitlines():
                    yield _text(line)
                raise

    @asynccontextmanager
    async def _response(
        self, method: str, path: str, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            # A redirect would send the key, which isn't in a field that aiohttp drops, to another host.
            async with self._session.request(method, path, allow_redirects=False, **options) as response:
                if HTTPStatus.MULTIPLE_CHOICES <= response.status < HTTPStatus.BAD_REQUEST:
                    raise RequestFailed(redirected(self._place, response), EX_UNAVAILABLE)
                if not response.ok:
                    raise await self._failure(response)
                yield response
        except (aiohttp.ContentTypeError, LineTooLong) as exc:
            raise RequestFailed(_NOT_A_GATEWAY, EX_UNAVAILABLE) from exc
        # Before ValueError, because ClientConnectorCertificateError is a subclass of both.
        except aiohttp.ClientError as exc:
            raise RequestFailed(unreachable(self._place, exc), EX_UNAVAILABLE) from exc
        except (ValueError, RecursionError) as exc:
            raise RequestFailed(_NOT_A_GATEWAY, EX_UNAVAILABLE) from exc

    async def _failure(self, response: aiohttp.ClientResponse) -> RequestFailed:
        """Return the gateway's error message with its details, if any."""
        answer = await response.json()
        sentence = _sentence(answer) if isinstance(answer, dict) else None
        status = exit_status(response.status)
        if not isinstance(sentence, str):
            return RequestFailed(_NOT_A_GATEWAY, EX_UNAVAILABLE)
        if response.status == 401:
            own = _WRONG_KEY if self.sends_key else _NO_KEY
            return RequestFailed(await demo_key.hint(self._session, self._place) or own, status)
        if answer.get("status") == "not_found":
            return RequestFailed(str(answer["message"]), status)
        details, mistakes = answer.get("details"), []
        if isinstance(details, list):
            mistakes = [(mistake["path"], mistake["message"]) for mistake in details]
            sentence = "; ".join(f"{path}: {message}" for path, message in mistakes)
        elif isinstance(details, str):
            sentence = f"{sentence}: {details}"
        return RequestFailed(with_commands(sentence), status, http_status=response.status, mistakes=mistakes)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r\n")


def exit_status(http_status: int) -> int:
    return _EXIT_STATUS.get(http_status, 1)


def _sentence(answer: Mapping[str, Any]) -> object:
    """Return the error's message, in the gateway's own shape, OpenAI's, or that of /health/ready."""
    match answer:
        case {"error": {"message": sentence}} | {"error": sentence}:
            return sentence
        case {"status": "unavailable", "lmstudio": {"baseUrl": place}}:
            return f"LM Studio doesn't answer at {place}."
    return None


@asynccontextmanager
async def gateway_client(
    url: str,
    key: str,
    certificate: str = "",
    *,
    authorities: Path | None = None,
    connect_seconds: float = CONNECT_SECONDS,
) -> AsyncIterator[GatewayClient]:
    """Yield a client for the gateway at this URL.

    With `certificate`, the file of this machine's gateway, it trusts only that; with `authorities`, those in
    the file of --ca. Raises RequestFailed if the URL is invalid, or a file can't be read.
    """
    try:
        base = URL(url)
        usable = (
            base.scheme in {"http", "https"}
            and bool(base.host)
            and not (base.path.strip("/") or base.query_string)
        )
    except ValueError:
        usable = False
    if not usable:
        raise RequestFailed(f"--url: {url} isn't a gateway's URL; write http://host:port", EX_USAGE)
    headers = {"X-API-Key": key} if key else {}
    # No total timeout, because a load may take minutes.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds)
    trusted: bool | certificates.Trusted = certificates.own(certificate) if certificate else True
    if authorities is not None:
        trusted = await asyncio.to_thread(certificates.named, authorities, base)
    connector = aiohttp.TCPConnector(ssl=trusted)
    async with aiohttp.ClientSession(
        base.with_path("/"),
        headers=headers,
        timeout=timeout,
        connector=connector,
        read_bufsize=EVENT_BYTES,
    ) as session:
        yield GatewayClient(session, base.origin())
