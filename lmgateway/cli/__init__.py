"""The command line: runs a command, prints, and sets the exit status. No other package does this."""

from __future__ import annotations

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
from .output import say
from .parser import make_parser
from .private_file import CannotWrite

INTERRUPTED = 130
# 128 + SIGPIPE, as a shell reports it
UNREAD = 141
_EXIT_STATUS: dict[type[Exception], int] = {
    CannotWrite: EX_CANTCREAT,
    StateInUse: EX_TEMPFAIL,
    VitalTaskFailed: EX_SOFTWARE,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return the process's exit status."""
    options = make_parser().parse_args(arguments)
    # Imported here, so that each command loads only the modules that it needs.
    module, _, function = options.command.partition(".")
    try:
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
    except CannotListen as exc:
        from .ports import explain  # psutil takes 4 MB, which a gateway that serves doesn't need

        say(f"lmgateway: {explain(exc)}", error=True)
        return EX_OSERR
    except tuple(_EXIT_STATUS) as exc:
        say(f"lmgateway: {exc}", error=True)
        return _EXIT_STATUS[type(exc)]
    except RequestFailed as exc:
        say(f"lmgateway: {exc}", error=True)
        return exc.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _discard_output() -> None:
    # Python flushes stdout again at exit, and would report the same error once more.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
