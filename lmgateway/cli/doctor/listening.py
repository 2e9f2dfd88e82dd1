"""Whether the gateway runs where it is configured to, or could."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Any

import aiohttp
from msgspec import Struct

from ...config import Config
from ...errors import CannotListen
from ...server.sockets import bind
from ..failures import RequestFailed
from ..gateway_client import trusting
from ..machine import ANY_IPV4, LanAddress
from ..urls import lan_urls, named_url, own_url
from . import processes
from .findings import Finding

_CHECK = "gateway"
SECONDS = 5.0
_RELOAD = "Let it read its configuration again: kill -HUP, or systemctl reload lmgateway"


class _Answer(Struct, frozen=True):
    """`fields` are the body's, if it is a JSON object."""

    status: int
    fields: dict[str, Any]


async def examine(config: Config, networks: Sequence[LanAddress]) -> list[Finding]:
    """Ask what answers at the configured port; if nothing does, try whether it can be had."""
    if config.server.port == 0:
        return [Finding.note(_CHECK, "server.port is 0: the gateway says at each start where it listens.")]
    try:
        ssl = trusting(config.server.tls_cert) if config.server.tls_cert else True
    except RequestFailed:  # the configuration's findings tell of the file
        return []
    if not _is_own_address(config.server.host):
        message = f"The gateway can't listen at {config.server.host}, which is no address of this machine."
        return [Finding.problem(_CHECK, message, f'Set server.host, to "{ANY_IPV4}" for all of them.')]
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(ssl=ssl)) as session:
        url = own_url(config)
        answer = await _ask(session, url)
        if answer is None:
            return [_try_to_listen(config)]
        if answer.status == HTTPStatus.FORBIDDEN and answer.fields.get("error") == "Forbidden":
            return [
                Finding.note(
                    _CHECK, f"What runs at {url} refuses this machine, as network.ip_allowlist may want it."
                )
            ]
        if answer.fields.get("name") != "lmgateway":
            return [_taken(config, answer)]
        return [
            Finding.ok(_CHECK, f"lmgateway runs at {url}."),
            *processes.examine_age(config.server.port),
            *[finding async for finding in _same_configuration(session, config)],
            *[finding async for finding in _from_outside(session, config, networks)],
        ]


def _is_own_address(host: str) -> bool:
    """Tell whether anything could listen there; else nobody but a stranger would answer."""
    try:
        for bound in bind(host, 0):
            bound.close()
    except CannotListen:
        return False
    return True


async def _ask(session: aiohttp.ClientSession, url: str, **headers: str) -> _Answer | None:
    """Return what is answered, a status 0 for what is no HTTP; None if nobody is there."""
    try:
        async with session.get(url, headers=headers, allow_redirects=False) as response:
            body = await response.json(content_type=None)
            return _Answer(response.status, body if isinstance(body, dict) else {})
    except (aiohttp.ClientConnectorError, TimeoutError):
        return None
    except (aiohttp.ClientError, ValueError):
        return _Answer(0, {})


def _try_to_listen(config: Config) -> Finding:
    host, port = config.server.host, config.server.port
    try:
        for bound in bind(host, port):
            bound.close()
    except CannotListen as exc:
        holder = processes.holder_of(port)
        return Finding.problem(
            _CHECK,
            f"The gateway doesn't run, and it {exc}{f', taken by {holder}' if holder else ''}.",
            "Choose another port or address (server.port, server.host), or end what has this one.",
        )
    return Finding.note(_CHECK, f"The gateway doesn't run. Port {port} is free for it.", "lmgateway serve")


def _taken(config: Config, answer: _Answer) -> Finding:
    port = config.server.port
    holder = processes.holder_of(port) or "another program"
    if str(answer.fields.get("error", "")).startswith("Unexpected endpoint"):
        holder = f"LM Studio itself ({holder})"
    return Finding.problem(
        _CHECK,
        f"Port {port} is taken by {holder}.",
        "End that, or choose another port (server.port, GATEWAY_PORT).",
    )


async def _same_configuration(session: aiohttp.ClientSession, config: Config) -> AsyncIterator[Finding]:
    key = {"X-API-Key": config.auth.api_key} if config.auth.api_key else {}
    ready = await _ask(session, f"{own_url(config)}/health/ready", **key)
    if ready is None:
        return
    if ready.status == HTTPStatus.UNAUTHORIZED:
        yield Finding.warning(
            _CHECK, "The gateway that runs has another key than this configuration.", _RELOAD
        )
        return
    used = ready.fields.get("lmstudio", {}).get("baseUrl")
    if used is not None and used != str(config.lmstudio.base_url):
        message = f"The gateway that runs has LM Studio at {used}, not at {config.lmstudio.base_url}."
        yield Finding.warning(_CHECK, message, _RELOAD)


async def _from_outside(
    session: aiohttp.ClientSession, config: Config, networks: Sequence[LanAddress]
) -> AsyncIterator[Finding]:
    reached = []
    for url in lan_urls(config, networks):
        answer = await _ask(session, url)
        if answer is None:
            yield Finding.warning(
                _CHECK,
                f"Nothing answers at {url}, this machine's own address.",
                "The gateway may have been started before server.host was changed: start it again.",
            )
        else:
            reached.append(url)
    if reached and (name := named_url(config)):
        reached.append(name)
    if reached:
        yield Finding.ok(_CHECK, f"Other machines find it at {', '.join(reached)}.")
