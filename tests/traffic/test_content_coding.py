"""Decoding of compressed request bodies, split anywhere."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable

import pytest
from backports import zstd

from lmgateway.errors import BadRequest, UnsupportedMediaType
from lmgateway.traffic.content_coding import PIECE_BYTES, BodyDecoder, coding_of

# Some of it is incompressible.
BODY = random.Random(1).randbytes(70_000) + b"a" * 3 * PIECE_BYTES


def deflated(body: bytes, window_bits: int) -> bytes:
    compressor = zlib.compressobj(wbits=window_bits)
    return compressor.compress(body) + compressor.flush()


CODED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "two gzip members": ("gzip", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:])),
    "zlib": ("deflate", lambda body: deflated(body, zlib.MAX_WBITS)),
    "raw deflate": ("deflate", lambda body: deflated(body, -zlib.MAX_WBITS)),
    "zstd": ("zstd", zstd.compress),
    "two zstd frames": ("zstd", lambda body: zstd.compress(body[:9]) + zstd.compress(body[9:])),
}
each_coding = pytest.mark.parametrize("kind", CODED)


def decoded(coding: str, pieces: list[bytes]) -> list[bytes]:
    decoder = BodyDecoder(coding)
    found = [piece for data in pieces for piece in decoder.pieces(data)]
    decoder.finish()
    return found


@each_coding
@pytest.mark.parametrize("size", [1, 1000, 10**7])
def test_a_body_is_decoded_in_bounded_pieces_however_it_is_cut(kind: str, size: int) -> None:
    """Decoding a piece doesn't block the event loop, and a bomb is detected early."""
    coding, encode = CODED[kind]
    packed = encode(BODY)
    found = decoded(coding, [packed[start : start + size] for start in range(0, len(packed), size)])
    assert b"".join(found) == BODY
    assert max(map(len, found)) <= PIECE_BYTES


@each_coding
@pytest.mark.parametrize("size", [0, 1, 2, 100])
def test_a_short_body_is_decoded(kind: str, size: int) -> None:
    coding, encode = CODED[kind]
    assert b"".join(decoded(coding, [encode(BODY[:size])])) == BODY[:size]


@pytest.mark.parametrize("kind", ["gzip", "zlib", "raw deflate", "zstd"])
def test_a_body_that_is_cut_off_is_refused(kind: str) -> None:
    """A truncated body isn't forwarded as a whole one."""
    coding, encode = CODED[kind]
    packed = encode(b"{}" * 50)
    for end in range(1, len(packed)):
        with pytest.raises(BadRequest):
            decoded(coding, [packed[:end]])


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
@pytest.mark.parametrize("body", [b"{", b"{}", b'{"model":"m"}', b"\xff" * 100])
def test_a_body_of_another_coding_is_refused(coding: str, body: bytes) -> None:
    with pytest.raises(BadRequest):
        decoded(coding, [body])


def test_bytes_after_the_end_are_refused() -> None:
    for coding in ("gzip", "zstd"):
        with pytest.raises(BadRequest):
            decoded(coding, [CODED[coding][1](b"{}") + b"{}"])


def test_a_row_of_empty_members_is_refused() -> None:
    """Each would allocate a window, and none would count towards a limit."""
    with pytest.raises(BadRequest):
        decoded("gzip", [gzip.compress(b"") * 1000])


def test_the_window_that_a_client_may_request_is_bounded() -> None:
    """RFC 9659: 8 MiB at most; zstd itself allows 2 GiB."""
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    compressor = zstd.ZstdCompressor(options=options)
    packed = compressor.compress(b"{}") + compressor.compress(b"{}" * 1000) + compressor.flush()
    with pytest.raises(BadRequest):
        decoded("zstd", [packed])


@pytest.mark.parametrize(
    ("lines", "coding"),
    [
        ([], None),
        ([""], None),
        (["identity"], None),
        (["identity, IDENTITY", ""], None),
        (["gzip"], "gzip"),
        ([" GZip "], "gzip"),
        (["x-gzip"], "gzip"),
        (["identity", "zstd"], "zstd"),
        (["deflate,"], "deflate"),
    ],
)
def test_a_coding_is_known_in_every_spelling(lines: list[str], coding: str | None) -> None:
    assert coding_of(lines) == coding


@pytest.mark.parametrize("lines", [["br"], ["gzip, gzip"], ["gzip", "deflate"], ["\udcff"], ["compress"]])
def test_another_coding_is_refused_with_those_that_are_known(lines: list[str]) -> None:
    """RFC 9110 section 15.5.16: Accept-Encoding lists the supported ones."""
    with pytest.raises(UnsupportedMediaType, match="gzip, deflate, zstd") as caught:
        coding_of(lines)
    assert caught.value.headers == {"Accept-Encoding": "gzip, deflate, zstd"}
