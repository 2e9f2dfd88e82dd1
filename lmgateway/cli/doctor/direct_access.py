"""Checks that clients can't use LM Studio without the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from yarl import URL

from ...config import LMStudio
from .. import discovery, lm_studio_home
from ..machine import LanAddress
from .exposure import is_loopback
from .findings import Finding

_CHECK = "LM Studio"
_BIND_TO_LOOPBACK = (
    "Switch off Serve on Local Network on LM Studio's Developer page, or start its server with `lms server"
    " start` without --bind. Then it listens on 127.0.0.1."
)
_ELSEWHERE = (
    "In its machine's firewall allow only the gateway, or make LM Studio require an API token, or run the"
    " gateway on that machine."
)


async def examine(
    config: LMStudio, networks: Sequence[LanAddress], home: Path, *, table: str = "lmstudio"
) -> list[Finding]:
    """Report an LM Studio that serves the network and requires no token. `home` is the user's home folder.

    `table` has LM Studio's settings.
    """
    base_url, host = config.base_url, config.base_url.host or ""
    own = {str(one.address) for one in networks}
    if not is_loopback(host):
        if not await _is_open(base_url):
            return []
        message = (
            f"LM Studio serves the network at {base_url}, so clients can use it without the gateway's key."
        )
        if host in own:
            remedy = f"{_BIND_TO_LOOPBACK}\nSet {table}.base_url to {base_url.with_host('127.0.0.1')}."
            return [Finding.warning(_CHECK, message, remedy)]
        return [Finding.note(_CHECK, message, _ELSEWHERE)]
    place = await _open_place(base_url, sorted(own), home)
    if place is None:
        return []
    return [Finding.warning(_CHECK, _message(place), _BIND_TO_LOOPBACK)]


def _message(place: str) -> str:
    return f"LM Studio itself serves the network ({place}), so clients can use it without the gateway's key."


async def _open_place(base_url: URL, addresses: Sequence[str], home: Path) -> str | None:
    """Return where LM Studio on this machine serves the network, None if it doesn't or requires a token."""
    interfaces = (settings.network_interface for settings in lm_studio_home.server_settings(home))
    interface = next(filter(None, interfaces), None)
    if interface is not None and not is_loopback(interface):
        refused = (await discovery.probe(base_url)).refused
        return None if refused else f"networkInterface {interface} in its settings"
    urls = [base_url.with_host(address) for address in addresses]
    answers = await asyncio.gather(*map(_is_open, urls))
    return next((f"at {url}" for url, is_open in zip(urls, answers, strict=True) if is_open), None)


async def _is_open(url: URL) -> bool:
    """True if an LM Studio answers there without a token."""
    result = await discovery.probe(url)
    return result.kind == "lm_studio" and not result.refused
