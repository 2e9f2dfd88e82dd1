"""Checks whether the running gateway is as old as the installation."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import psutil

from ... import __version__
from ..ports import is_gateway, listeners
from .findings import Finding
from .installation import installed_at

_CHECK = "gateway"


def examine_age(port: int) -> Iterator[Finding]:
    """Warn if the running gateway was started before the current installation."""
    installed = installed_at()
    for process in listeners(port):
        try:
            is_ours, started = is_gateway(process), datetime.fromtimestamp(process.create_time(), UTC)
        except psutil.Error:
            continue
        if is_ours and installed is not None and started < installed:
            yield Finding.warning(
                _CHECK,
                f"The running gateway (process {process.pid}) was started before lmgateway {__version__} "
                "was installed.",
                "Restart it, with systemctl restart lmgateway if it is a service.",
            )
