"""Detects LM Studio over HTTP: at a given address, or on this machine's usual ports."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Literal, TypeVar

import aiohttp
import msgspec
from msgspec import Raw, Struct
from yarl import URL

from ..boxes.manageability import is_greeting
from ..text import NAME_CHARACTERS
from . import lm_studio_home

T = TypeVar("T")

SEARCH_SECONDS = 1.0
BODY_BYTES = 8 * 1024**2
# LM Studio's default port, and common alternatives.
USUAL_PORTS = (1234, 1235, 8080)
# The ports of LM Studio's application, which also serves the SDK while its HTTP server is stopped
# (lmstudio-js, api-server-ports).
APPLICATION_PORTS = (41343, 52993, 16141, 39414, 22931)
_HOSTS = ("127.0.0.1", "[::1]")

Kind = Literal["lm_studio", "other", "no_tls", "nothing"]


class Model(Struct, frozen=True):
    """A model that can be loaded. `id` is its key; the fields are those of `GET /api/v0/models`."""

    id: str
    type: str = ""
    state: str = ""
    capabilities: tuple[str, ...] = ()


class _Listing(Struct, frozen=True):
    """`GET /api/v0/models`. It lists a loaded model by its instances' identifiers, not by its key."""

    data: tuple[Model, ...] = ()


class _Capabilities(Struct, frozen=True):
    trained_for_tool_use: bool = False


class _Entry(Struct, frozen=True):
    key: str
    type: str = ""
    loaded_instances: tuple[Raw, ...] = ()
    capabilities: _Capabilities = _Capabilities()

    def as_model(self) -> Model:
        tools = ("tool_use",) if self.capabilities.trained_for_tool_use else ()
        return Model(self.key, self.type, "loaded" if self.loaded_instances else "not-loaded", tools)


class _Root(Struct, frozen=True):
    name: str


class _KeyedListing(Struct, frozen=True):
    """`GET /api/v1/models`. Older versions of LM Studio don't have it."""

    models: tuple[_Entry, ...] = ()


class ProbeResult(Struct, frozen=True, kw_only=True):
    """The server at an address.

    `refused`: it is LM Studio, and requires a token or rejects the given one. `models` is empty if they are
    unknown. `date` is the time of the server's clock. `is_machine_up`: nothing answers, but the machine
    refuses the connection, so it doesn't sleep.
    """

    base_url: URL
    kind: Kind
    refused: bool = False
    models: tuple[Model, ...] = ()
    date: datetime | None = None
    is_machine_up: bool = False

    @property
    def about_models(self) -> str:
        """` with 4 models`, or an empty string if they are unknown."""
        return f" with {len(self.models)} models" if self.models else ""

    @property
    def chat_model(self) -> str | None:
        """The chat model to suggest. Loaded models are preferred, then those that can call tools."""
        chatting = [model for model in self.models if model.type in {"llm", "vlm"} and model.id.isprintable()]
        ranked = sorted(
            chatting, key=lambda model: (model.state != "loaded", "tool_use" not in model.capabilities)
        )
        return ranked[0].id if ranked else None


class SearchResult(Struct, frozen=True):
    """`server` is LM Studio's HTTP server. Without one, LM Studio's application may be running."""

    server: ProbeResult | None
    runs_without_server: bool = False


async def probe(base_url: URL, token: str = "", *, seconds: float = SEARCH_SECONDS) -> ProbeResult:
    """Request LM Studio's greeting at this base URL and, if it is LM Studio, its models."""
    timeout = aiohttp.ClientTimeout(total=seconds)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        try:
            async with _get(session, base_url, "/lmstudio-greeting") as response:
                greeting, date = await _read(response), _date(response)
            if not is_greeting(greeting):
                return ProbeResult(base_url=base_url, kind="other", date=date)
            # The token is sent only after the greeting, so that no other server gets it.
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with _get(session, base_url, "/api/v1/models", headers) as response:
                refused = response.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
                keyed = _decoded(await _read(response), _KeyedListing)
            models = tuple(entry.as_model() for entry in keyed.models) if keyed else ()
            if not models and not refused:
                async with _get(session, base_url, "/api/v0/models", headers) as response:
                    listing = _decoded(await _read(response), _Listing)
                models = listing.data if listing else ()
        except aiohttp.ClientConnectorCertificateError:
            return ProbeResult(base_url=base_url, kind="other")
        except aiohttp.ClientSSLError:
            return ProbeResult(base_url=base_url, kind="no_tls")
        except (aiohttp.ClientConnectorError, TimeoutError) as exc:
            refuses = isinstance(exc, aiohttp.ClientConnectorError) and _is_refusal(exc.os_error)
            return ProbeResult(base_url=base_url, kind="nothing", is_machine_up=refuses)
        except aiohttp.ClientError:
            return ProbeResult(base_url=base_url, kind="other")
    models = tuple(model for model in models if len(model.id) <= NAME_CHARACTERS)
    return ProbeResult(base_url=base_url, kind="lm_studio", refused=refused, models=models, date=date)


async def is_gateway(base_url: URL) -> bool:
    """True if an lmgateway answers there."""
    timeout = aiohttp.ClientTimeout(total=SEARCH_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            _get(session, base_url, "/") as response,
        ):
            root = _decoded(await _read(response), _Root)
    except (aiohttp.ClientError, TimeoutError):
        return False
    return root is not None and root.name == "lmgateway"


async def search_at(base_url: URL, token: str = "") -> SearchResult:
    """Search at one address only."""
    result = await probe(base_url, token)
    return SearchResult(result if result.kind == "lm_studio" else None)


async def search(
    token: str = "",
    *,
    ports: Sequence[int] | None = None,
    application_ports: Sequence[int] = APPLICATION_PORTS,
) -> SearchResult:
    """Probe the ports on this machine's loopback addresses at once. The first of `ports` is preferred."""
    ports = likely_ports(lm_studio_home.user_home()) if ports is None else ports
    places = [(host, port) for port in (*ports, *application_ports) for host in _HOSTS]
    results = await asyncio.gather(*(probe(URL(f"http://{host}:{port}"), token) for host, port in places))
    studios = [result for result in results if result.kind == "lm_studio"]
    server = next((studio for studio in studios if studio.base_url.port in ports), None)
    return SearchResult(server, runs_without_server=bool(studios) and server is None)


def likely_ports(home: Path) -> tuple[int, ...]:
    """Return the ports in LM Studio's settings in this user's home folder, then the usual ones."""
    ports = [settings.port for settings in lm_studio_home.server_settings(home) if settings.port is not None]
    return tuple(dict.fromkeys((*ports, *USUAL_PORTS)))


def _get(
    session: aiohttp.ClientSession, base_url: URL, path: str, headers: Mapping[str, str] | None = None
) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    """Request a path below the base URL. A redirect, which may lead to any server, isn't followed."""
    url = base_url.with_path(base_url.raw_path.rstrip("/") + path, encoded=True)
    return session.get(url, headers=headers, allow_redirects=False)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Return the body, b"" if it is longer than BODY_BYTES."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > BODY_BYTES:
            return b""
    return bytes(body)


def _decoded(body: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _is_refusal(error: OSError) -> bool:
    return isinstance(error, ConnectionRefusedError) or error.errno == errno.ECONNREFUSED


def _date(response: aiohttp.ClientResponse) -> datetime | None:
    try:
        date = parsedate_to_datetime(response.headers.get("Date", ""))
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
