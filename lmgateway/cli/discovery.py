"""LM Studio, looked for over HTTP: at an address, or on this machine's usual ports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Literal, TypeVar

import aiohttp
import msgspec
from msgspec import Raw, Struct
from yarl import URL

T = TypeVar("T")

SEARCH_SECONDS = 1.0
# LM Studio's default, and where people put it when that one is taken.
USUAL_PORTS = (1234, 1235, 8080)
# Where its application answers the SDK while its server is stopped (lmstudio-js, api-server-ports).
APPLICATION_PORTS = (41343, 52993, 16141, 39414, 22931)
# Its server's settings, among them {"port": 1234}: since 0.3.6, and before.
_SETTINGS = (
    Path(".lmstudio/.internal/http-server-config.json"),
    Path(".cache/lm-studio/.internal/http-server-config.json"),
)
_HOSTS = ("127.0.0.1", "[::1]")

Kind = Literal["lm_studio", "other", "no_tls", "nothing"]


class Model(Struct, frozen=True):
    """What can be loaded, by its key; an entry of `GET /api/v0/models`."""

    id: str
    type: str = ""
    state: str = ""
    capabilities: tuple[str, ...] = ()


class _Listing(Struct, frozen=True):
    """`GET /api/v0/models`: of a loaded model the names of its instances, which can't be loaded."""

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
    """`GET /api/v1/models`, which older versions don't have."""

    models: tuple[_Entry, ...] = ()


class Seen(Struct, frozen=True, kw_only=True):
    """What answers at an address.

    `refused`: it is LM Studio and wants another token, or one at all. `models`: what it has, if it was asked
    and said so. `date`: what its clock says.
    """

    base_url: URL
    kind: Kind
    refused: bool = False
    models: tuple[Model, ...] = ()
    date: datetime | None = None

    @property
    def about_models(self) -> str:
        """` with 4 models`, or nothing where it didn't say."""
        return f" with {len(self.models)} models" if self.models else ""

    @property
    def chat_model(self) -> str | None:
        """The model to try first: in memory rather than on disk, able to call tools rather than not."""
        chatting = [model for model in self.models if model.type in {"llm", "vlm"} and model.id.isprintable()]
        ranked = sorted(
            chatting, key=lambda model: (model.state != "loaded", "tool_use" not in model.capabilities)
        )
        return ranked[0].id if ranked else None


class Search(Struct, frozen=True):
    """`found` is LM Studio's server; without it, LM Studio's application may run all the same."""

    found: Seen | None
    runs_without_server: bool = False


async def look(base_url: URL, token: str = "", *, seconds: float = SEARCH_SECONDS) -> Seen:
    """Return what answers at this base URL, asked for LM Studio's greeting and for its models."""
    timeout = aiohttp.ClientTimeout(total=seconds)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        try:
            async with session.get(_below(base_url, "/lmstudio-greeting"), allow_redirects=False) as response:
                greeting, date = await response.read(), _date(response)
            if not _is_greeting(greeting):
                return Seen(base_url=base_url, kind="other", date=date)
            # Only now: the token is for nobody else.
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with session.get(_below(base_url, "/api/v1/models"), headers=headers) as response:
                refused = response.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
                keyed = _decoded(await response.read(), _KeyedListing)
            models = tuple(entry.as_model() for entry in keyed.models) if keyed else ()
            if not models and not refused:
                async with session.get(_below(base_url, "/api/v0/models"), headers=headers) as response:
                    listing = _decoded(await response.read(), _Listing)
                models = listing.data if listing else ()
        except aiohttp.ClientConnectorCertificateError:
            return Seen(base_url=base_url, kind="other")
        except aiohttp.ClientSSLError:
            return Seen(base_url=base_url, kind="no_tls")
        except (aiohttp.ClientConnectorError, TimeoutError):
            return Seen(base_url=base_url, kind="nothing")
        except aiohttp.ClientError:
            return Seen(base_url=base_url, kind="other")
    return Seen(base_url=base_url, kind="lm_studio", refused=refused, models=models, date=date)


async def is_gateway(base_url: URL) -> bool:
    """Tell whether it is one of ours that answers there."""
    timeout = aiohttp.ClientTimeout(total=SEARCH_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(base_url) as response:
            root = _decoded(await response.read(), _Root)
    except (aiohttp.ClientError, TimeoutError):
        return False
    return root is not None and root.name == "lmgateway"


async def search_at(base_url: URL, token: str = "") -> Search:
    """Look at one address only."""
    seen = await look(base_url, token)
    return Search(seen if seen.kind == "lm_studio" else None)


async def search(
    token: str = "",
    *,
    ports: Sequence[int] | None = None,
    application_ports: Sequence[int] = APPLICATION_PORTS,
) -> Search:
    """Look on this machine's loopback addresses, at all ports at once; the first port that fits is taken."""
    ports = likely_ports(Path.home()) if ports is None else ports
    places = [(host, port) for port in (*ports, *application_ports) for host in _HOSTS]
    seen = await asyncio.gather(*(look(URL(f"http://{host}:{port}"), token) for host, port in places))
    found = [one for one in seen if one.kind == "lm_studio"]
    server = next((one for one in found if one.base_url.port in ports), None)
    return Search(server, runs_without_server=bool(found) and server is None)


def likely_ports(home: Path) -> tuple[int, ...]:
    """Return the port that LM Studio is set to below this home folder, and then the usual ones."""
    ports = []
    for path in _SETTINGS:
        try:
            port = json.loads((home / path).read_bytes()).get("port")
        except (OSError, ValueError, AttributeError):  # it isn't ours, so whatever is in it is no mistake
            continue
        if isinstance(port, int) and 0 < port < 65536:
            ports.append(port)
    return tuple(dict.fromkeys((*ports, *USUAL_PORTS)))


def _below(base_url: URL, path: str) -> URL:
    return base_url.with_path(base_url.raw_path.rstrip("/") + path, encoded=True)


def _is_greeting(body: bytes) -> bool:
    try:
        greeting = json.loads(body)
    except ValueError:
        return False
    return isinstance(greeting, dict) and greeting.get("lmstudio") is True


def _decoded(body: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _date(response: aiohttp.ClientResponse) -> datetime | None:
    try:
        date = parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
