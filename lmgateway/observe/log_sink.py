"""Where log lines go, without ever waiting for whoever reads them."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TextIO, cast

# So much is kept for a reader that has fallen behind; what doesn't fit is lost, and said to be.
BACKLOG_BYTES = 256 * 1024
GATHER_SECONDS = 0.05


class Line(Protocol):
    """What is formatted: a record of logging, or what has as much of one as our formats use."""

    name: str
    levelname: str
    exc_info: Any

    @property
    def created(self) -> float: ...
    def getMessage(self) -> str: ...  # noqa: N802


class SinkHandler(logging.Handler):
    """Writes to a stream as much as it takes now, and keeps the rest for later.

    A pipe that nobody reads would hold up the event loop, and so would a journal that hangs. Lines are lost
    if too many are kept already or the sink is gone; another line tells of them as soon as it can.

    Everyday lines are gathered by `gather`, and written a moment later, many at once.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.stream = stream
        self._send = _sender(stream)
        self._gathered: list[Line] = []
        self._is_due = False
        self._backlog = bytearray()
        self._lost = 0

    def gather(self, line: Line) -> None:
        """Write a line soon. To be called inside the event loop."""
        self._gathered.append(line)
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self.flush)

    def emit(self, record: logging.LogRecord) -> None:
        self._keep_gathered()
        self._keep(record)
        self._write()

    def flush(self) -> None:
        self.acquire()  # emit comes from any thread, and with it
        try:
            self._is_due = False
            self._keep_gathered()
            self._write()
        finally:
            self.release()

    def _keep_gathered(self) -> None:
        gathered, self._gathered = self._gathered, []
        for line in gathered:
            self._keep(line)

    def _keep(self, record: Line) -> None:
        text = self.format(cast("logging.LogRecord", record))
        line = f"{text}\n".encode("utf-8", "backslashreplace")
        if not self._has_room(line):
            self._write()
        if not self._has_room(line):
            self._lost += 1
            return
        if self._lost:
            self._backlog += f"{self._lost} log lines were lost, because nobody read them\n".encode()
            self._lost = 0
        self._backlog += line

    def _has_room(self, line: bytes) -> bool:
        return len(self._backlog) + len(line) <= BACKLOG_BYTES

    def _write(self) -> None:
        try:
            while self._backlog:
                del self._backlog[: self._send(self._backlog)]
        except BlockingIOError:
            pass  # tried again with the next line
        except OSError:
            # Gone, or its disk is full: the lines with it, but not the gateway.
            self._lost += self._backlog.count(b"\n")
            self._backlog.clear()


def write_without_waiting(stream: TextIO, line: str) -> None:
    """Write a line to the stream if it has room for it now."""
    with suppress(OSError):
        _sender(stream)(bytearray(f"{line}\n", "utf-8"))


def _sender(stream: TextIO) -> Callable[[bytearray], int]:
    """Return what writes to the stream's file without waiting, and says how many bytes it took.

    It raises BlockingIOError if there is no room, OSError if there will never be any.
    """
    try:
        descriptor = stream.fileno()
        mode = os.fstat(descriptor).st_mode
    except OSError:  # no file of the system, or a closed one
        return lambda data: _write_text(stream, data)
    if sys.platform == "win32":  # where nothing is written without waiting
        return lambda data: os.write(descriptor, data)
    if stat.S_ISSOCK(mode):  # systemd's journal
        channel = socket.socket(fileno=os.dup(descriptor))
        return lambda data: channel.send(data, socket.MSG_DONTWAIT)
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        with suppress(OSError):  # nobody holds the pipe's other end, or this system has no such path
            # Opened anew, because whoever shares the descriptor with us may count on its blocking.
            descriptor = os.open(f"/dev/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    return lambda data: os.write(descriptor, data)


def _write_text(stream: TextIO, data: bytearray) -> int:
    stream.write(data.decode())
    stream.flush()
    return len(data)
