"""Checks that the gateway runs at the configured address, or could run there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Any

import aiohttp
from msgspec import Struct

from ...config import Config
from ...errors import CannotListen
from ...server.sockets import bind
from .. import certificates, machine, ports
from ..failures import RequestFailed
from ..machine import ANY_IPV4, LanAddress
from ..urls import lan_urls, named_url, own_url
from . import processes
from .findings import Finding

_CHECK = "gateway"
SECONDS = 5.0
_RELOAD = "Reload its configuration: systemctl reload lmgateway, or kill -HUP PID"


class Response(Struct, frozen=True):
    """`status` is 0 if it wasn't HTTP or JSON. `fields` is empty if the body isn't a JSON object."""

    status: int
    fields: dict[str, Any]


async def examine(config: Config, networks: Sequence[LanAddress]) -> list[Finding]:
    """Send a request to the configured address; if nothing answers, try to listen there."""
    if config.server.port == 0:
        return [Finding.note(_CHECK, "server.port is 0, so the gateway prints its port at each start.")]
    try:
        ssl = certificates.own(config.server.tls_cert) if config.server.tls_cert else True
    except RequestFailed:  # configuration.examine() reports it
        return []
    if not is_own_address(config.server.host):
        message = f"The gateway can't listen at {config.server.host}, which isn't an address of this machine."
        return [
            Finding.problem(
                _CHECK, message, f'Set server.host to one, or to "{ANY_IPV4}" for all IPv4 addresses.'
            )
        ]
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(ssl=ssl)) as session:
        url = own_url(config)
        response = await get(session, url)
        if response is None:
            return [_try_to_listen(config)]
        if response.status == HTTPStatus.FORBIDDEN and response.fields.get("error") == "Forbidden":
            return [
                Finding.note(
                    _CHECK,
                    f"The server at {url} refuses this machine, perhaps because of network.ip_allowlist.",
                )
            ]
        if response.fields.get("name") != "lmgateway":
            return [_taken(config, response)]
        return [
            Finding.ok(_CHECK, f"lmgateway runs at {url}."),
            *processes.examine_age(config.server.port),
            *[finding async for finding in _same_configuration(session, config)],
            *[finding async for finding in _from_the_lan(session, config, networks)],
        ]


def is_own_address(host: str) -> bool:
    """True if a server can listen there. Otherwise a request would go to another machine."""
    try:
        for bound in bind(host, 0):
            bound.close()
    except CannotListen:
        return False
    return True


async def get(session: aiohttp.ClientSession, url: str, **headers: str) -> Response | None:
    """Return the response; None if nothing listens there."""
    try:
        async with session.get(url, headers=headers, allow_redirects=False) as response:
            body = await response.json(content_type=None)
            return Response(response.status, body if isinstance(body, dict) else {})
    except (aiohttp.ClientConnectorError, TimeoutError):
        return None
    except (aiohttp.ClientError, ValueError):
        return Response(0, {})


def _try_to_listen(config: Config) -> Finding:
    host, port = config.server.host, config.server.port
    try:
        for bound in bind(host, port):
            bound.close()
    except CannotListen as exc:
        holder = ports.holder_of(port)
        return Finding.problem(
            _CHECK,
            f"The gateway isn't running, and it {exc}{f' by {holder}' if holder else ''}.",
            "Choose another port or address (server.port, server.host), or end that program.",
        )
    return Finding.note(_CHECK, f"The gateway isn't running. Port {port} is free.", "lmgateway serve")


def _taken(config: Config, response: Response) -> Finding:
    port = config.server.port
    holder = ports.holder_of(port) or "another program"
    if str(response.fields.get("error", "")).startswith("Unexpected endpoint"):
        holder = f"LM Studio itself ({holder})"
    return Finding.problem(
        _CHECK,
        f"Port {port} is taken by {holder}.",
        "End that program, or choose another port (server.port, GATEWAY_PORT).",
    )


async def _same_configuration(session: aiohttp.ClientSession, config: Config) -> AsyncIterator[Finding]:
    key = {"X-API-Key": config.auth.api_key} if config.auth.api_key else {}
    ready = await get(session, f"{own_url(config)}/health/ready", **key)
    if ready is None:
        return
    if ready.status == HTTPStatus.UNAUTHORIZED and not config.auth.api_key:
        message = "The running gateway requires a key, and this configuration has none (auth.api_key)."
        remedy = f"If it has named keys, set GATEWAY_API_KEY to one for this command. Otherwise: {_RELOAD}"
        yield Finding.note(_CHECK, message, remedy)
        return
    if ready.status == HTTPStatus.UNAUTHORIZED:
        yield Finding.warning(_CHECK, "The running gateway's key differs from this configuration's.", _RELOAD)
        return
    used = ready.fields.get("lmstudio", {}).get("baseUrl")
    configured = [str(studio.base_url) for studio in config.studios.values()]
    if used is not None and used not in configured:
        message = f"The running gateway uses LM Studio at {used}, not at {' or '.join(configured)}."
        yield Finding.warning(_CHECK, message, _RELOAD)


async def _from_the_lan(
    session: aiohttp.ClientSession, config: Config, networks: Sequence[LanAddress]
) -> AsyncIterator[Finding]:
    reached = []
    for url in lan_urls(config, networks):
        response = await get(session, url)
        if response is None:
            yield Finding.warning(
                _CHECK,
                f"Nothing answers at {url}, this machine's own address.",
                "If server.host was changed after the gateway was started, restart the gateway.",
            )
        else:
            reached.append(url)
    if reached and (name := named_url(config)):
        reached.append(name)
    if not reached:
        return
    places = ", ".join(reached)
    if not machine.is_container():
        yield Finding.ok(_CHECK, f"Other machines can connect at {places}.")
        return
    message = (
        f"It answers at {places} in this container. Other machines connect there if it has its host's "
        "network, otherwise at the host's address and the published port."
    )
    yield Finding.ok(_CHECK, message)
