"""Notifications to the service manager (systemd), by the protocol of sd_notify(3)."""

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
    """The service manager that started this process. Without NOTIFY_SOCKET, notifications do nothing."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        # A leading @ stands for the NUL byte of an abstract socket's name.
        self._address = re.sub("^@", "\0", environ.get("NOTIFY_SOCKET", ""))
        # Stays open, because the watchdog must be notified even if clients have used up all descriptors.
        self._channel: socket.socket | None = None
        watches = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        # Without a notification for WATCHDOG_USEC, systemd kills the process. Half of that leaves a margin.
        self._watchdog_seconds = int(environ.get("WATCHDOG_USEC", "0")) / 2_000_000 if watches else 0

    def waiting(self, reason: str, seconds: float) -> None:
        """Notify that the start takes so much longer, and why."""
        self._notify(f"STATUS={reason}", f"EXTEND_TIMEOUT_USEC={round(seconds * 1_000_000)}")

    def ready(self) -> None:
        self._notify("READY=1")

    def reloading(self) -> None:
        self._notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._notify("STOPPING=1", "STATUS=Waiting for running requests")

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    async def feed_watchdog(self, status: Callable[[], str]) -> None:
        """Notify the watchdog and report the status, until cancelled. A stalled event loop sends nothing."""
        while self._address:
            watchdog = ["WATCHDOG=1"] if self._watchdog_seconds else []
            self._notify(*watchdog, f"STATUS={status()}")
            await asyncio.sleep(self._watchdog_seconds or STATUS_SECONDS)

    def _notify(self, *assignments: str) -> None:
        if sys.platform == "win32" or not self._address:
            return
        try:
            if self._channel is None:
                self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._channel.setblocking(False)
            self._channel.sendto("\n".join(assignments).encode(), self._address)
        except OSError as exc:
            logger.warning("the service manager can't be notified: %s", exc)
