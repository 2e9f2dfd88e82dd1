"""Shared by the client's and the server's protocol: resuming reads, and failing the reader of a body."""

from __future__ import annotations

from aiohttp.base_protocol import BaseProtocol
from aiohttp.helpers import set_exception
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader


class ResumesOnceProtocol(BaseProtocol):
    """Resumes reading only if it was paused.

    A StreamReader calls resume_reading() after every piece that is read, and aiohttp then runs the parser on
    empty input each time.
    """

    __slots__ = ()

    def resume_reading(self, resume_parser: bool = True) -> None:
        if self._reading_paused:
            super().resume_reading(resume_parser)


def read_buffered(body: StreamReader) -> bytes:
    """Return the buffered bytes of a body that hasn't failed, or b"".

    Of a body that was received in one piece, read_nowait() takes 1.5 µs more, and each request has two.
    """
    if body is EMPTY_PAYLOAD:
        return b""
    if not body._eof or body._buffer_offset or len(body._buffer) != 1:
        return body.read_nowait()
    piece = body._buffer.popleft()
    body._size = 0
    body._cursor += len(piece)
    if body._protocol._reading_paused:
        body._protocol.resume_reading()
    return piece


def unread_end(body: StreamReader, pieces: int) -> bytes:
    """Return the last pieces, at most so many, of what was received of a body and isn't read yet."""
    if body is EMPTY_PAYLOAD:
        return b""
    buffer = body._buffer
    first = max(len(buffer) - pieces, 0)
    end = b"".join([buffer[place] for place in range(first, len(buffer))])
    return end if first else end[body._buffer_offset :]


def fail_reader(body: StreamReader, error: Exception, cause: BaseException) -> None:
    """Make the body's reader raise the error, even if it was woken without data and waits again."""
    set_exception(body, error, cause)
    body._loop.call_soon(set_exception, body, error, cause)
