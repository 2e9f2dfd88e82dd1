"""Whether the service works, and where its addresses and files are."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Iterator
from http import HTTPStatus

from yarl import URL

from ...config import Config
from .. import machine
from ..failures import EX_UNAVAILABLE
from ..output import say
from ..urls import lan_urls, named_url, own_url
from .places import SERVICE, Places
from .source import Source
from .steps import ServiceFailed
from .systemd import Systemd

WAIT_SECONDS, PAUSE_SECONDS, REQUEST_SECONDS = 30.0, 0.2, 5.0


def wait(config: Config, systemd: Systemd) -> None:
    """Wait until the service answers. Raises ServiceFailed, after printing its last log lines."""
    url = URL(own_url(config)) / "health"
    deadline = time.monotonic() + WAIT_SECONDS
    while not _answers(url):
        is_over = time.monotonic() > deadline
        if is_over or systemd.show(SERVICE, "ActiveState").get("ActiveState") == "failed":
            say_log(systemd)
            what = f"nothing answers at {url} after {WAIT_SECONDS:g} s" if is_over else "the service failed"
            raise ServiceFailed(f"{what}. Its log is above. Correct it, and run this again.", EX_UNAVAILABLE)
        time.sleep(PAUSE_SECONDS)


def _answers(url: URL) -> bool:
    """True for each response of the gateway: /health may require the key, or an address of the allowlist."""
    host, port = url.host or "", url.port
    if url.scheme == "https":
        # The certificate is for the host name that clients use, not for this address.
        context = ssl._create_unverified_context()  # noqa: S323 - no secret is sent
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, port, timeout=REQUEST_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=REQUEST_SECONDS)
    try:
        connection.request("GET", url.raw_path)
        return connection.getresponse().status < HTTPStatus.INTERNAL_SERVER_ERROR
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def say_log(systemd: Systemd) -> None:
    for line in systemd.log(SERVICE):
        say(f"  {line}")


def describe(found: Source, where: Places, systemd: Systemd) -> None:
    """Say where the gateway is, and what belongs to it."""
    own = own_url(found.config)
    say()
    say(f"The gateway runs at {own}, its dashboard at {own}/dashboard.")
    others = lan_urls(found.config, machine.lan_addresses())
    if others:
        say(f"Other machines can connect at {', '.join(filter(None, [*others, named_url(found.config)]))}.")
    say(f"It starts {_when(where, systemd)}.")
    for line in files_of(where):
        say(line)
    if found.file is not None:
        say(f"Commands in this folder still read {found.file}; the service doesn't.")


def _when(where: Places, systemd: Systemd) -> str:
    if not where.is_user or systemd.stays_after_logout():
        return "when the machine starts"
    return "when you log in; for a start with the machine: sudo loginctl enable-linger $USER"


def files_of(where: Places) -> Iterator[str]:
    yield f"Settings:  {where.config}; after a change: {where.command('reload')}"
    if where.is_user:
        yield f"Key:       in {where.config}"
    else:
        yield f"Key:       {where.secret('auth.api_key')}; after a change: {where.command('restart')}"
    yield f"State:     {where.state}"
    journal = "journalctl --user" if where.is_user else "sudo journalctl"
    yield f"Log:       {journal} --unit={SERVICE} --follow"
