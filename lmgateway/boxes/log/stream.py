"""LM Studio's log without a shared disk: the channel `diagnostics.streamLogs` of its SDK's protocol.

LM Studio sends records of four types. Only `server.log` is the log that its files have; the others hold whole
prompts and answers, and the engines' output.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from ...errors import UpstreamUnavailable
from ...observe.clock import unix_time
from ...text import repaired
from ...untrusted import whole
from ..origin import Origin
from ..sdk.channel import Channel, open_channel
from .file import CHUNK_BYTES
from .folder import QUIET_SECONDS
from .publisher import Publisher
from .records import LogReader, is_stamped

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
# The year 9999, minus a day for time zones, in milliseconds since 1970.
_LAST_TIMESTAMP = 253_402_214_400_000


class LogStream:
    """Publishes, as events, what LM Studio logs while the connection to it lasts."""

    def __init__(self, origin: Origin, publisher: Publisher, *, pause_seconds: float = PAUSE_SECONDS) -> None:
        """`pause_seconds` is the first pause before an attempt to reconnect; it doubles with each one."""
        self._origin = origin
        self._publisher = publisher
        self._first_pause = self._pause = pause_seconds
        self._reported: set[str] = set()

    async def run(self) -> None:
        """Follow until cancelled. An LM Studio that isn't there is tried again, never an error.

        Returns at once if the configured address can't be reached by the SDK's protocol.
        """
        if self._origin.sdk_host is None:
            logger.warning(
                "LM Studio's log can't be followed: set lmstudio.log_dir, or an lmstudio.base_url that is"
                " plain http without a path, which LM Studio's SDK needs"
            )
            return
        while True:
            try:
                async with open_channel(self._origin, "diagnostics", "streamLogs") as channel:
                    await self._follow(channel)
            except UpstreamUnavailable as exc:
                self._report(exc.message)
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)

    async def _follow(self, channel: Channel) -> None:
        """Publish until the connection is lost. Raises UpstreamUnavailable."""
        reader = LogReader()
        while True:
            packet = await channel.receive(QUIET_SECONDS if reader.waiting else None)
            if packet is None:
                await self._publisher.publish(reader.settle())
                continue
            if self._reported:
                logger.info("LM Studio's log can be followed again")
            self._reported.clear()
            self._pause = self._first_pause
            match packet:
                case {"type": "log", "log": {"data": {"type": "server.log", "content": str(content)}} as log}:
                    await self._read(reader, _stamped(content, log))

    async def _read(self, reader: LogReader, record: str) -> None:
        data = f"{record}\n".encode()
        for start in range(0, len(data), CHUNK_BYTES):
            await self._publisher.publish(reader.feed(data[start : start + CHUNK_BYTES]))
        reader.end_file()  # nothing that is quoted goes beyond its record

    def _report(self, problem: str) -> None:
        # Once for each problem until a record arrives, and not at every attempt.
        if problem not in self._reported:
            self._reported.add(problem)
            logger.warning("LM Studio's log can't be followed over its SDK's socket: %s", problem)


def _stamped(content: str, log: Mapping[str, object]) -> str:
    """Return the record as it is in a file. Older versions of LM Studio send it without time and level."""
    content = repaired(content.removesuffix("\n"))
    if is_stamped(content):
        return content
    milliseconds = whole(log.get("timestamp"), 0, _LAST_TIMESTAMP)
    time = datetime.fromtimestamp(unix_time() if milliseconds is None else milliseconds / 1000, UTC)
    data = log["data"]
    level = data.get("level") if isinstance(data, Mapping) else None
    shown = level.upper() if isinstance(level, str) and level.isascii() and level.isalpha() else "INFO"
    separator = "" if content.startswith("[") else " "
    return f"[{time.astimezone():%Y-%m-%d %H:%M:%S}][{shown}]{separator}{content}"
