"""The processes that listen on a port, as far as this user may see them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import psutil

from ... import __version__
from .findings import Finding
from .installation import installed_at

_CHECK = "gateway"


def listeners(port: int) -> list[psutil.Process]:
    """Return the processes that listen on this TCP port. Other users' may be hidden."""
    try:
        pids = {
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid
        }
        return [psutil.Process(pid) for pid in sorted(pids)]
    except psutil.Error:
        return []


def holder_of(port: int) -> str | None:
    """Return the name and id of a process that listens on this port."""
    for process in listeners(port):
        try:
            return f"{process.name()} (process {process.pid})"
        except psutil.Error:
            continue
    return None


def examine_age(port: int) -> Iterator[Finding]:
    """Warn if the running gateway was started before the current installation."""
    installed = installed_at()
    for process in listeners(port):
        try:
            is_gateway = any("lmgateway" in argument for argument in process.cmdline())
            started = datetime.fromtimestamp(process.create_time(), UTC)
        except psutil.Error:
            continue
        if is_gateway and installed is not None and started < installed:
            yield Finding.warning(
                _CHECK,
                f"The running gateway (process {process.pid}) was started before lmgateway {__version__} "
                "was installed.",
                "Restart it, with systemctl restart lmgateway if it is a service.",
            )
