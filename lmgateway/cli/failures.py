"""The failure of a command, and its exit status (sysexits.h)."""

from __future__ import annotations

from collections.abc import Sequence

EX_USAGE = 64
EX_DATAERR = 65
EX_NOINPUT = 66
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_OSERR = 71
EX_CANTCREAT = 73
EX_IOERR = 74
EX_TEMPFAIL = 75
EX_NOPERM = 77
EX_CONFIG = 78


class RequestFailed(Exception):
    """A request to the gateway failed; the message says why.

    `http_status` is that of the gateway's answer, None if there was none. `mistakes` are those in the
    request's body, each with its path.
    """

    def __init__(
        self,
        message: str,
        exit_status: int,
        *,
        http_status: int | None = None,
        mistakes: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.exit_status = exit_status
        self.http_status = http_status
        self.mistakes = mistakes
