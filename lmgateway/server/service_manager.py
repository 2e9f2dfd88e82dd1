"""What a service manager (systemd) is told. The protocol is sd_notify(3)'s: text to a datagram socket."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

STATUS_SECONDS = 10.0


class ServiceManager:
    """The service manager that started this process; told nothing if there is none that wants to know."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        # A leading @ stands for the NUL of a name that is no file's.
        self._address = re.sub("^@", "\0", environ.get("NOTIFY_SOCKET", ""))
        watches = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        # It wants to hear from us before so many microseconds have passed; half of them leaves room.
        self._watchdog_seconds = int(environ.get("WATCHDOG_USEC", "0")) / 2_000_000 if watches else 0

    def ready(self) -> None:
        self._tell("READY=1")

    def reloading(self) -> None:
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._tell("STOPPING=1", "STATUS=Waiting for running requests")

    async def feed_watchdog(self, status: Callable[[], str]) -> None:
        """Say that the event loop lives, and how it does, until cancelled; a stalled one can't."""
        while self._address:
            told = ["WATCHDOG=1"] if self._watchdog_seconds else []
            self._tell(*told, f"STATUS={status()}")
            await asyncio.sleep(self._watchdog_seconds or STATUS_SECONDS)

    def _tell(self, *assignments: str) -> None:
        if sys.platform == "win32" or not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.setblocking(False)
            try:
                channel.sendto("\n".join(assignments).encode(), self._address)
            except OSError as exc:
                logger.warning("the service manager can't be told: %s", exc)
