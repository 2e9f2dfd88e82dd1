"""The command line: runs a command, prints, and sets the exit status. No other package does this."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from ..errors import CannotListen, ConfigError, StateInUse, VitalTaskFailed
from .failures import (
    EX_CANTCREAT,
    EX_CONFIG,
    EX_IOERR,
    EX_OSERR,
    EX_SOFTWARE,
    EX_TEMPFAIL,
    RequestFailed,
)
from .mistakes import find_command, refuse
from .output import say
from .parser import make_parser
from .private_file import CannotWrite

if sys.platform == "win32":
    import ctypes

    from .windows_console import show_escape_sequences

INTERRUPTED = 130
# 128 + SIGPIPE, as a shell reports it
UNREAD = 141
_EXIT_STATUS: dict[type[Exception], int] = {
    CannotListen: EX_OSERR,
    CannotWrite: EX_CANTCREAT,
    StateInUse: EX_TEMPFAIL,
    VitalTaskFailed: EX_SOFTWARE,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return the process's exit status. Without one, show which there are."""
    if sys.platform == "win32":
        show_escape_sequences(ctypes.windll.kernel32)
    try:
        options = _parse(sys.argv[1:] if arguments is None else arguments)
        # Imported here, so that each command loads only the modules that it needs.
        module, _, function = options.command.partition(".")
        status: int = getattr(import_module(f".{module}", __package__), function)(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader closed the pipe, as `| head` does.
        _discard_output()
        return UNREAD
    except OSError as exc:
        if exc.errno != errno.ENOSPC:
            raise
        _discard_output()
        say(f"lmgateway: the output can't be written: {exc.strerror}", error=True)
        return EX_IOERR
    except ConfigError as exc:
        for problem in exc.problems:
            say(f"lmgateway: {problem}", error=True)
        return EX_CONFIG
    except tuple(_EXIT_STATUS) as exc:
        say(f"lmgateway: {_explained(exc)}", error=True)
        return _EXIT_STATUS[type(exc)]
    except RequestFailed as exc:
        say(f"lmgateway: {exc}", error=True)
        return exc.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Raises RequestFailed, and SystemExit as argparse does."""
    parser = make_parser()
    match [*arguments]:
        case []:
            arguments = ["--help"]
        case ["help", *words]:
            arguments = [*words, "--help"]
        case ["version"]:
            arguments = ["--version"]
    arguments = parser.completed(arguments)
    named = find_command(parser, arguments)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        raise refuse(named, unknown)
    return options


def _explained(exc: Exception) -> str:
    if not isinstance(exc, CannotListen):
        return str(exc)
    from .ports import explain  # psutil takes 4 MB, which a gateway that serves doesn't need

    return explain(exc)


def _discard_output() -> None:
    # Python flushes stdout again at exit, and would report the same error once more.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
