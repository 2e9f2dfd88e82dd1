"""Non-blocking output of log lines: a slow reader of the log never holds up the event loop."""

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

from ..text import printable

# The bound of the buffer for a slow reader. Lines beyond it are dropped, and their number is logged.
BACKLOG_BYTES = 256 * 1024
GATHER_SECONDS = 0.05


class Line(Protocol):
    """A logging.LogRecord, or an object with the attributes of one that our formatters use."""

    name: str
    levelname: str
    exc_info: Any

    @property
    def created(self) -> float: ...
    def getMessage(self) -> str: ...  # noqa: N802


class SinkHandler(logging.Handler):
    """Writes to a stream without blocking, and buffers what the stream doesn't take.

    A blocking write would stop the event loop when a pipe isn't read or the journal hangs. If the buffer is
    full or the stream is closed, lines are dropped, and their number is written before the next line.

    Access lines go through `gather`, which writes many with one system call.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.stream = stream
        self._send = _sender(stream)
        self._gathered: list[Line] = []
        self._flush_scheduled = False
        self._backlog = bytearray()
        self._lost = 0
        self._is_fault_logged = False

    def gather(self, line: Line) -> None:
        """Write a line within GATHER_SECONDS. To be called inside the event loop."""
        self._gathered.append(line)
        if not self._flush_scheduled:
            self._flush_scheduled = True
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self.flush)

    def emit(self, record: logging.LogRecord) -> None:
        self._buffer_gathered()
        self._buffer(record)
        self._write()

    def flush(self) -> None:
        self.acquire()  # logging calls emit from any thread, with this lock
        try:
            self._flush_scheduled = False
            self._buffer_gathered()
            self._write()
        finally:
            self.release()

    def _buffer_gathered(self) -> None:
        gathered, self._gathered = self._gathered, []
        for line in gathered:
            self._buffer(line)

    def _buffer(self, record: Line) -> None:
        try:
            text = self.format(cast("logging.LogRecord", record))
        except Exception as exc:
            # Raised here, it would fail the request that logs, or lose the other gathered lines.
            if not self._is_fault_logged:
                self._is_fault_logged = True
                self._buffer(_fault(record.name, exc))
            return
        line = f"{text}\n".encode("utf-8", "backslashreplace")
        if len(self._backlog) + len(line) > BACKLOG_BYTES:
            self._write()
            if len(self._backlog) + len(line) > BACKLOG_BYTES:
                self._lost += 1
                return
        if self._lost:
            self._backlog += f"{self._lost} log lines were lost, because their reader was too slow\n".encode()
            self._lost = 0
        self._backlog += line

    def _write(self) -> None:
        try:
            while self._backlog:
                del self._backlog[: self._send(self._backlog)]
        except BlockingIOError:
            pass  # the next line tries again
        except (OSError, ValueError):
            # The reader is gone, the stream was closed, or the disk is full. The gateway goes on.
            self._lost += self._backlog.count(b"\n")
            self._backlog.clear()


def _fault(logger: str, exc: Exception) -> logging.LogRecord:
    # Without the exception's text, which may quote what was to be logged.
    text = "a log line of %s can't be formatted (%s), which isn't logged again"
    values = (logger, type(exc).__name__)
    return logging.makeLogRecord({"name": __name__, "levelname": "ERROR", "msg": text, "args": values})


def write_without_waiting(stream: TextIO, *lines: str) -> None:
    """Write lines to the stream if that doesn't block; otherwise drop them."""
    text = "".join(f"{printable(line)}\n" for line in lines)
    with suppress(OSError):
        _sender(stream)(bytearray(text, "utf-8"))


def _sender(stream: TextIO) -> Callable[[bytearray], int]:
    """Return a non-blocking write to the stream's file; like os.write, it returns how many bytes were taken.

    It raises BlockingIOError if the file takes nothing now, another OSError if it never will again.
    """
    try:
        descriptor = stream.fileno()
        mode = os.fstat(descriptor).st_mode
    except OSError:  # not a file of the system, or a closed one
        return lambda data: _write_text(stream, data)
    if sys.platform == "win32":  # which has no non-blocking pipes
        return lambda data: os.write(descriptor, data)
    if stat.S_ISSOCK(mode):  # systemd's journal
        channel = socket.socket(fileno=os.dup(descriptor))
        return lambda data: channel.send(data, socket.MSG_DONTWAIT)
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        with suppress(OSError):  # the pipe has no reader, or this system has no /dev/fd
            # Opened again: O_NONBLOCK on the descriptor itself would affect every process that shares it.
            descriptor = os.open(f"/dev/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    return lambda data: os.write(descriptor, data)


def _write_text(stream: TextIO, data: bytearray) -> int:
    stream.write(data.decode())
    stream.flush()
    return len(data)
