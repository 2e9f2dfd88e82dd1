"""The gateway's process and its machine, as operators see them."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version

import psutil

from .. import __version__
from ..schema.system import GatewayReport, MachineReport
from .activity import Activity

_SHOWN = ("aiohttp", "lmstudio")


def gateway_report(activity: Activity, started: float) -> GatewayReport:
    """`started` is when the gateway started, by the monotonic clock."""
    return GatewayReport(
        version=__version__,
        python_version=platform.python_version(),
        packages=dict(_packages()),
        platform=sys.platform,
        uptime=round(time.monotonic() - started, 3),
        memory=resident_bytes(),
        running=len(activity.running),
        total_requests=activity.total_requests,
        total_errors=activity.total_errors,
    )


def machine_report() -> MachineReport | None:
    """Return None if the process may not see it: systemd's ProcSubset=pid hides it."""
    try:
        memory = psutil.virtual_memory()
    except OSError:
        return None
    return MachineReport(memory=memory.total, available=memory.available)


def resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


@cache
def _packages() -> Mapping[str, str]:
    return {name: version(name) for name in _SHOWN}
