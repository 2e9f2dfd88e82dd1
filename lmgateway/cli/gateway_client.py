"""A running gateway, as the commands talk to it."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
from yarl import URL

from .failures import EX_UNAVAILABLE, EX_USAGE, RequestFailed

# sysexits.h, by what the gateway answers; everything else is 1.
_EXIT_STATUS = {400: 65, 401: 77, 403: 77, 404: 66, 415: 65, 502: 69, 503: 69, 504: 69}
CONNECT_SECONDS = 5
_NO_LMGATEWAY = "What answers there is no lmgateway."
_NO_GATEWAY = "Start one with `lmgateway serve`, or name another with --url."
_WRONG_KEY = "The gateway has another key than this one. Give its own with --key, or in GATEWAY_API_KEY."
_NO_KEY = "The gateway wants its key. Give it with --key, or in GATEWAY_API_KEY."


class Event(NamedTuple):
    name: str
    data: dict[str, Any]
    id: str | None


class GatewayClient:
    """The admin API of one gateway."""

    def __init__(self, session: aiohttp.ClientSession, place: URL) -> None:
        self._session = session
        self._place = place

    async def request(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        """Return what the gateway answers. Raises RequestFailed."""
        async with self._answered(method, path, json=body) as response:
            answer = await response.json()
            if not isinstance(answer, dict) or "error" in answer:
                # LM Studio itself says 200 and "Unexpected endpoint".
                raise RequestFailed(_NO_LMGATEWAY, EX_UNAVAILABLE)
            return answer

    async def events(self, *names: str, last_id: str | None = None) -> AsyncIterator[Event]:
        """Yield each event as it happens, `connected` first; of these names only, if there are any.

        With `last_id`, first what came after that one. Raises RequestFailed, with EX_UNAVAILABLE when the
        stream breaks off.
        """
        headers = {"Last-Event-ID": last_id} if last_id else {}
        query = {"types": ",".join(names)}
        async with self._answered("GET", "/debug/stream", params=query, headers=headers) as response:
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

    @asynccontextmanager
    async def _answered(
        self, method: str, path: str, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._session.request(method, path, **options) as response:
                if not response.ok:
                    raise await self._failure(response)
                yield response
        except aiohttp.ContentTypeError as exc:
            raise RequestFailed(_NO_LMGATEWAY, EX_UNAVAILABLE) from exc
        # Before ValueError, which a certificate that isn't trusted is too.
        except aiohttp.ClientError as exc:
            raise RequestFailed(_unreachable(self._place, exc), EX_UNAVAILABLE) from exc
        except ValueError as exc:
            raise RequestFailed(_NO_LMGATEWAY, EX_UNAVAILABLE) from exc

    async def _failure(self, response: aiohttp.ClientResponse) -> RequestFailed:
        """Return an error's sentence, and its mistakes if it lists some."""
        answer = await response.json()
        sentence = answer.get("error") if isinstance(answer, dict) else None
        status = _EXIT_STATUS.get(response.status, 1)
        if not isinstance(sentence, str):
            return RequestFailed(_NO_LMGATEWAY, EX_UNAVAILABLE)
        if response.status == 401:
            return RequestFailed(_WRONG_KEY if "X-API-Key" in self._session.headers else _NO_KEY, status)
        if answer.get("status") == "not_found":
            return RequestFailed(str(answer["message"]), status)
        details = answer.get("details")
        if isinstance(details, list):
            sentence = "; ".join(f"{mistake['path']}: {mistake['message']}" for mistake in details)
        elif isinstance(details, str):
            sentence = f"{sentence}: {details}"
        return RequestFailed(sentence, status)


def _unreachable(place: URL, exc: aiohttp.ClientError) -> str:
    match exc:
        case aiohttp.ClientConnectorCertificateError():
            return f"The certificate of {place} isn't trusted here: {exc.certificate_error}"
        case aiohttp.ClientSSLError():
            return f"What listens at {place} speaks no TLS. Write http:// in --url."
        case aiohttp.ClientConnectorError():
            return f"Nothing answers at {place}: {_system_words(exc.os_error)}. {_NO_GATEWAY}"
        case aiohttp.ConnectionTimeoutError():
            return f"Nothing answers at {place}. {_NO_GATEWAY}"
        case aiohttp.ServerDisconnectedError():
            return f"{place} closed the connection. If it speaks TLS, write https:// in --url."
    return f"The connection to {place} broke: {exc}"


def _system_words(error: OSError) -> str:
    # asyncio's own words repeat the address, in another form.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)


@asynccontextmanager
async def gateway_client(url: str, key: str, certificate: str = "") -> AsyncIterator[GatewayClient]:
    """Talk to the gateway at this URL; `certificate` is the file of the one that it must show, if known.

    Raises RequestFailed if the URL is none.
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
        raise RequestFailed(f"--url: {url} is no URL of a gateway; write http://host:port", EX_USAGE)
    headers = {"X-API-Key": key} if key else {}
    # A load takes as long as it takes.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
    connector = aiohttp.TCPConnector(ssl=trusting(certificate) if certificate else True)
    async with aiohttp.ClientSession(
        base.with_path("/"), headers=headers, timeout=timeout, connector=connector
    ) as session:
        yield GatewayClient(session, base.origin())


def trusting(certificate: str) -> ssl.SSLContext:
    """Return a context that trusts the certificate in this file, whatever name it is for, and no other.

    Raises RequestFailed if it can't be read.
    """
    try:
        context = ssl.create_default_context(cafile=certificate)
    except (OSError, ssl.SSLError) as exc:
        raise RequestFailed(f"server.tls_cert: {certificate} can't be read: {exc}", EX_UNAVAILABLE) from exc
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
