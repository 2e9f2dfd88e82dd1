"""The log's formats: coloured for a terminal, plain for a journal, JSON for programs."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterable, Iterator
from typing import Literal, TextIO

from ..text import printable
from .access_log import AccessLine
from .clock import iso_timestamp
from .log_sink import SinkHandler

LEVELS = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
_COLOURS = {"ERROR": "31", "CRITICAL": "31", "WARNING": "33", "INFO": "32", "DEBUG": "36"}
_PACKAGE = __name__.partition(".")[0]
_MOST_CHAINED = 10


def _traceback_lines(failure: BaseException) -> Iterator[str]:
    """Yield the lines of a traceback, without the text of an exception that isn't the gateway's own.

    Such a text may quote what a client or LM Studio sent: a key, a prompt or a response.
    """
    chain: list[BaseException] = []
    link: BaseException | None = failure
    while link is not None and link not in chain and len(chain) < _MOST_CHAINED:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    for exc in reversed(chain):
        for frame in traceback.format_tb(exc.__traceback__):
            yield from frame.splitlines()
        yield _summary(exc)


def _summary(exc: BaseException) -> str:
    kind = type(exc)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(exc, OSError) and exc.strerror and kind.__module__ == "builtins":
        return f"{name}: {exc.strerror}"
    # One that was never raised was made for the log.
    is_own = kind.__module__.partition(".")[0] == _PACKAGE or exc.__traceback__ is None
    return f"{name}: {exc}" if is_own else name


def _lines_of(record: logging.LogRecord) -> Iterator[str]:
    failure = record.exc_info[1] if record.exc_info else None
    return iter(()) if failure is None else _traceback_lines(failure)


class PlainFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO name: message`, one line unless there is a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if not isinstance(record, AccessLine):  # which is printable; looking at it takes 3,000 instructions
            message = printable(message)
        line = f"{iso_timestamp(record.created)} {self._level(record)} {record.name}: {message}"
        if not record.exc_info:
            return line
        return "\n".join([line, *map(printable, _lines_of(record))])

    def _level(self, record: logging.LogRecord) -> str:
        return f"{record.levelname:<7}"


class ColourFormatter(PlainFormatter):
    def _level(self, record: logging.LogRecord) -> str:
        return f"\x1b[{_COLOURS.get(record.levelname, '0')}m{super()._level(record)}\x1b[0m"


class JsonFormatter(logging.Formatter):
    """One JSON object a line. What a record's `fields()` returns is added to it."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "timestamp": iso_timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", dict)(),
        }
        if record.exc_info:
            entry["traceback"] = "\n".join(_lines_of(record))
        # Not msgspec: Python's json escapes lone surrogates, on which msgspec raises.
        return json.dumps(entry, separators=(",", ":"))


def configure(
    level: str,
    style: Literal["auto", "plain", "json"],
    stream: TextIO | None = None,
    *,
    quiet: Iterable[str] = (),
) -> None:
    """Send the process's log to `stream`, by default stderr. The `quiet` loggers log nothing."""
    stream = stream or sys.stderr
    formatter: logging.Formatter
    if style == "json":
        formatter = JsonFormatter()
    else:
        formatter = ColourFormatter() if style == "auto" and stream.isatty() else PlainFormatter()
    # Attributes that our formats don't show aren't computed (the logging HOWTO, section "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    # Reuse the previous handler on a reload: its buffer may hold lines.
    handler = next((one for one in root.handlers if isinstance(one, SinkHandler)), None)
    if handler is None or handler.stream is not stream:
        handler = SinkHandler(stream)
    handler.setFormatter(formatter)
    for name in quiet:
        # These libraries log one lost connection five times, and at level debug what they send and receive.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
