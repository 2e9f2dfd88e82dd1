"""What the meter of a mended stream changes: nothing but an overflow, wherever the stream is split."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmgateway.traffic.metering import StreamMeter
from lmgateway.traffic.stream_end import OF_CHOICES
from lmgateway.traffic.studio_errors import StreamOverflowed
from tests.support.properties import checked, pieces_of

TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":0}}\n\n'
DONE = b"data: [DONE]\n\n"
COMMENT = b":\n\n"
FAILURE = b'event: error\ndata: {"error":{"message":"Model unloaded."}}\n\n'
OVERFLOW = b"event:error\ndata: " + json.dumps({"error": "Context size has been exceeded."}).encode()

streams = st.lists(st.sampled_from([TOKEN, FINISH, USAGE, DONE, COMMENT, FAILURE, FINISH + b"data: x"])).map(
    b"".join
)


def meter(*, strips: bool = False, mends: bool = True, max_event_bytes: int = 1024**2) -> StreamMeter:
    return StreamMeter(strips=strips, end=OF_CHOICES, mends=mends, max_event_bytes=max_event_bytes)


def relayed(metering: StreamMeter, pieces: list[bytes]) -> bytes:
    return b"".join([*map(metering.feed, pieces), metering.finish()])


@checked
@given(st.data(), streams, st.booleans())
def test_a_stream_without_an_overflow_keeps_every_byte(
    data: st.DataObject, stream: bytes, crlf: bool
) -> None:
    """However it is split, and with events that are too long to be parsed."""
    if crlf:
        stream = stream.replace(b"\n", b"\r\n")
    most = data.draw(st.sampled_from([30, 100, 1024**2]))
    assert relayed(meter(max_event_bytes=most), data.draw(pieces_of(stream))) == stream


@checked
@given(st.data(), streams)
def test_the_usage_is_removed_as_without_mending(data: st.DataObject, stream: bytes) -> None:
    """Also from an end that is held back; and the counts are the same."""
    plain, mending = meter(strips=True, mends=False), meter(strips=True)
    assert relayed(mending, data.draw(pieces_of(stream))) == relayed(plain, data.draw(pieces_of(stream)))
    assert mending.count == plain.count


def test_an_event_too_long_to_parse_follows_the_end_that_was_held() -> None:
    """It isn't relayed ahead of it."""
    pieces = [FINISH, b"data: " + b"x" * 200, b"\n\n", DONE]
    assert relayed(meter(max_event_bytes=100), pieces) == b"".join(pieces)


def test_thousands_of_comments_behind_the_end_take_little_time() -> None:
    """Each event costs the same, however many are held."""
    metering, piece = meter(), COMMENT * 5000
    metering.feed(FINISH)
    started = time.thread_time()
    assert [metering.feed(piece) for _ in range(4)] == [b""] * 4
    assert time.thread_time() - started < 0.5


@pytest.mark.parametrize("cut", [8, len(OVERFLOW)])
def test_a_last_event_without_its_empty_line_may_be_an_overflow(cut: int) -> None:
    """Whether its beginning was relayed already is known, so that the error isn't appended to its line."""
    metering = meter()
    passed = [metering.feed(piece) for piece in (TOKEN, OVERFLOW[:cut], OVERFLOW[cut:])]
    with pytest.raises(StreamOverflowed) as raised:
        metering.finish()
    assert raised.value.is_cut == (b"".join(passed) != TOKEN)
