"""Where log lines go, without ever waiting for whoever reads them."""

from __future__ import annotations

import logging
import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

# So much is kept for a reader that has fallen behind; what doesn't fit is lost, and said to be.
BACKLOG_BYTES = 256 * 1024


class SinkHandler(logging.Handler):
    """Writes to a stream as much as it takes now, and keeps the rest for later.

    A pipe that nobody reads would hold up the event loop, and so would a journal that hangs. Lines are lost
    if too many are kept already or the sink is gone; another line tells of them as soon as it can.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.stream = stream
        self._send = _sender(stream)
        self._backlog = bytearray()
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
        if not self._has_room(line):
            self.flush()
        if not self._has_room(line):
            self._lost += 1
            return
        if self._lost:
            self._backlog += f"{self._lost} log lines were lost, because nobody read them\n".encode()
            self._lost = 0
        self._backlog += line
        self.flush()

    def _has_room(self, line: bytes) -> bool:
        return len(self._backlog) + len(line) <= BACKLOG_BYTES

    def flush(self) -> None:
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
