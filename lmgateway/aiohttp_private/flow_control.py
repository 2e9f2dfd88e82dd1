"""What both kinds of protocol share: reading is resumed once, and a reader always sees a broken body."""

from __future__ import annotations

from aiohttp.base_protocol import BaseProtocol
from aiohttp.helpers import set_exception
from aiohttp.streams import StreamReader


class ResumesOnceProtocol(BaseProtocol):
    """Resumes reading only if it was paused.

    A StreamReader asks for it after every piece that is read, and each time aiohttp has the parser look at an
    empty input, in case it was paused.
    """

    __slots__ = ()

    def resume_reading(self, resume_parser: bool = True) -> None:
        if self._reading_paused:
            super().resume_reading(resume_parser)


def fail_reader(body: StreamReader, error: Exception, cause: BaseException) -> None:
    """Make the body's reader raise the error, also a reader that was just woken and goes on waiting."""
    set_exception(body, error, cause)
    body._loop.call_soon(set_exception, body, error, cause)
