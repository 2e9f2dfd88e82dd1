"""A running gateway, as the commands talk to it."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
from yarl import URL

from .failures import EX_UNAVAILABLE, EX_USAGE, RequestFailed

# sysexits.h, by what the gateway answers; everything else is 1.
_EXIT_STATUS = {400: 65, 401: 77, 403: 77, 404: 66, 415: 65, 502: 69, 503: 69, 504: 69}


class Event(NamedTuple):
    name: str
    data: dict[str, Any]
    id: str | None


class GatewayClient:
    """The admin API of one gateway."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def request(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        """Return what the gateway answers. Raises RequestFailed."""
        try:
            async with self._session.request(method, path, json=body) as response:
                answer = await response.json()
                if not isinstance(answer, dict) or (response.ok and "error" in answer):
                    # LM Studio itself says 200 and "Unexpected endpoint".
                    raise RequestFailed(f"{response.url.origin()} is no lmgateway.", EX_UNAVAILABLE)
                if not response.ok:
                    raise RequestFailed(_reason(answer), _EXIT_STATUS.get(response.status, 1))
                return answer
        except (aiohttp.ContentTypeError, ValueError) as exc:
            raise RequestFailed("What answers there is no lmgateway.", EX_UNAVAILABLE) from exc
        except aiohttp.ClientError as exc:
            raise RequestFailed(f"The gateway can't be reached: {exc}", EX_UNAVAILABLE) from exc

    async def events(self, *names: str, last_id: str | None = None) -> AsyncIterator[Event]:
        """Yield each event as it happens, `connected` first; of these names only, if there are any.

        With `last_id`, first what came after that one. Raises aiohttp.ClientError when the stream breaks off.
        """
        headers = {"Last-Event-ID": last_id} if last_id else {}
        url = "/debug/stream"
        async with self._session.get(url, params={"types": ",".join(names)}, headers=headers) as response:
            response.raise_for_status()
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
async def gateway_client(url: str, key: str, certificate: str = "") -> AsyncIterator[GatewayClient]:
    """Talk to the gateway at this URL; `certificate` is the file of the one that it must show, if known.

    Raises RequestFailed if the URL is none.
    """
    try:
        base = URL(url)
        usable = base.scheme in {"http", "https"} and bool(base.host)
    except ValueError:
        usable = False
    if not usable:
        raise RequestFailed(f"--url: {url} is no URL; write http://host:port", EX_USAGE)
    headers = {"X-API-Key": key} if key else {}
    # A load takes as long as it takes.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    connector = aiohttp.TCPConnector(ssl=trusting(certificate) if certificate else True)
    async with aiohttp.ClientSession(
        base.with_path("/"), headers=headers, timeout=timeout, connector=connector
    ) as session:
        yield GatewayClient(session)


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


def _reason(answer: Any) -> str:
    """Return an error's sentence, and its mistakes if it lists some."""
    if answer.get("status") == "not_found":
        return str(answer["message"])
    details = answer.get("details")
    if isinstance(details, list):
        return "; ".join(f"{mistake['path']}: {mistake['message']}" for mistake in details)
    return str(answer.get("error")) + (f": {details}" if isinstance(details, str) else "")
