"""Content codings of a request's body, decoded in pieces. RFC 9110 section 8.4.1; RFC 9659 for zstd."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from ..errors import BadRequest, UnsupportedMediaType

# Decoding one piece takes about a millisecond.
PIECE_BYTES = 256 * 1024
_ACCEPTED = "gzip, deflate, zstd"
# How many gzip members, zlib streams or zstd frames a body may consist of. Many empty ones would take long
# to decode.
_MAX_MEMBERS = 256
_GZIP, _ZLIB, _RAW = 31, 15, -15
# A format is recognised by its first two bytes.
_MAGIC_BYTES = 2
# RFC 9659 section 3: a window of 8 MiB at most. The decoder allocates the window that the frame declares.
_ZSTD_WINDOW_LOG = 23
_CORRUPT = "The body can't be decoded: it isn't what its Content-Encoding says, or it isn't complete."


class _Member(Protocol):
    """The decoder of one gzip member, zlib stream or zstd frame, with the interface of compression.zstd."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def coding_of(lines: Sequence[str]) -> str | None:
    """Return the coding that these lines of Content-Encoding name, None if the body isn't encoded.

    Raises UnsupportedMediaType for a coding that BodyDecoder doesn't support, and for more than one.
    """
    codings = [name for line in lines for part in line.split(",") if (name := part.strip().lower())]
    codings = [name.removeprefix("x-") for name in codings if name != "identity"]
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in _OPENERS:
        raise UnsupportedMediaType(
            f"A body in this Content-Encoding can't be read here. Send it plain, or in one of: {_ACCEPTED}.",
            headers={"Accept-Encoding": _ACCEPTED},
        )
    return codings[0]


class BodyDecoder:
    """Decodes a body of one coding while it is received. The caller limits the size of the decoded body."""

    def __init__(self, coding: str) -> None:
        """`coding` is one that `coding_of` returned."""
        self._open = _OPENERS[coding]
        self._start = b""
        self._member: _Member | None = None
        self._members = 0

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Yield the decoded bytes in pieces of at most PIECE_BYTES. Raises BadRequest."""
        while data or (self._member is not None and not self._member.needs_input):
            if self._member is None:
                data = self._start + data
                if len(data) < _MAGIC_BYTES:
                    self._start = data
                    return
                self._start, self._member = b"", self._next_member(data)
            yield self._member.decompress(data, PIECE_BYTES)
            data = b""
            if self._member.eof:
                data, self._member = self._member.unused_data, None

    def _next_member(self, start: bytes) -> _Member:
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise BadRequest(_CORRUPT)
        return self._open(start)

    def finish(self) -> None:
        """Raise BadRequest unless the body is complete."""
        if self._member is not None or self._start:
            raise BadRequest(_CORRUPT)


class _Inflated:
    """A zlib decoder that buffers its undecoded input, as the decoders of compression.zstd do."""

    def __init__(self, window_bits: int) -> None:
        self._zlib = zlib.decompressobj(window_bits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        try:
            piece = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        except zlib.error as exc:
            raise BadRequest(_CORRUPT) from exc
        # After a full piece, zlib may hold more output although it has consumed all input.
        self.needs_input = len(piece) < max_length and not self._zlib.unconsumed_tail
        return piece


class _ZstdFrame:
    """The decoder of a zstd frame. The library is imported at first use, because few clients send zstd."""

    def __init__(self) -> None:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
        self._error = zstd.ZstdError
        window = int(zstd.DecompressionParameter.window_log_max)
        self._frame = zstd.ZstdDecompressor(options={window: _ZSTD_WINDOW_LOG})

    @property
    def eof(self) -> bool:
        return self._frame.eof

    @property
    def needs_input(self) -> bool:
        return self._frame.needs_input

    @property
    def unused_data(self) -> bytes:
        return self._frame.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        try:
            return self._frame.decompress(data, max_length)
        except self._error as exc:
            raise BadRequest(_CORRUPT) from exc


def _deflated(start: bytes) -> _Inflated:
    """Return a decoder of deflate. Many clients omit zlib's header (RFC 9110 section 8.4.1.2)."""
    has_header = start[0] & 0x0F == zlib.DEFLATED and int.from_bytes(start[:2], "big") % 31 == 0
    return _Inflated(_ZLIB if has_header else _RAW)


# Each makes a decoder from the first bytes of a member.
_OPENERS: dict[str, Callable[[bytes], _Member]] = {
    "gzip": lambda _: _Inflated(_GZIP),
    "deflate": _deflated,
    "zstd": lambda _: _ZstdFrame(),
}
