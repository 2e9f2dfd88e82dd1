"""The log's formats: coloured for a terminal, plain for a journal, JSON for programs."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable
from typing import Literal, TextIO

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
# A logged path may contain any character; none may begin a new line or a terminal's escape sequence.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def _escape(text: str) -> str:
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class PlainFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO name: message`, one line unless there is a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        message = _escape(record.getMessage())
        line = f"{iso_timestamp(record.created)} {self._level(record)} {record.name}: {message}"
        if not record.exc_info:
            return line
        return "\n".join([line, *map(_escape, self.formatException(record.exc_info).splitlines())])

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
            entry["traceback"] = self.formatException(record.exc_info)
        # Not msgspec: Python's json escapes lone surrogates, on which msgspec raises.
        return json.dumps(entry, separators=(",", ":"))


def configure(
    level: str,
    style: Literal["auto", "plain", "json"],
    stream: TextIO | None = None,
    *,
    quiet: Iterable[str] = (),
) -> None:
    """Send the process's log to `stream`, by default stderr. The `quiet` loggers log only at level debug."""
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
        # These libraries log one lost connection five times; the gateway logs it once itself.
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else logging.CRITICAL)
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
