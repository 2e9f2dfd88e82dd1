"""Metering of responses, split anywhere."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from lmgateway.observe.tokens import TokenCount
from lmgateway.traffic.body_meter import BodyMeter
from lmgateway.traffic.metering import MAX_EVENT_BYTES, Meter, StreamMeter
from tests.support.properties import checked, pieces_of

counts = st.integers(0, 10**9)
texts = st.text(max_size=20)
usages = st.fixed_dictionaries({"prompt_tokens": counts, "completion_tokens": counts})
deltas = st.builds(lambda text: {"choices": [{"delta": {"content": text}}]}, texts)
others = (
    deltas
    | st.builds(lambda told: {"choices": [{"delta": {}}], "usage": told}, usages)
    | st.builds(lambda told: {"message": {"usage": told}}, usages)
    | st.builds(lambda told: {"choices": [], "usage": told}, st.none())
    | st.builds(lambda told: {"text": json.dumps({"choices": [], "usage": told})}, usages)
)
ends = st.sampled_from(["\n\n", "\r\n\r\n", "\n\r\n"])
noise = st.lists(
    st.sampled_from([b"\n", b"\r", b"data:", b": ", b'"usage":{', b"{}", b"\xf0\x9f", b"x"])
).map(b"".join)


def event(payload: object, end: str, before: str) -> bytes:
    return f"{before}data: {json.dumps(payload)}{end}".encode()


befores = st.sampled_from(["", "event: x\n", ": comment\r\n", "id: 1\n"])
other_events = st.builds(event, others, ends, befores) | st.sampled_from([b"data: [DONE]\n\n", b": ping\n\n"])
extras = st.builds(lambda told: {"id": "x", "choices": [], "usage": told}, usages)
extra_events = st.builds(event, extras, ends, befores)
# Each with whether it contains nothing but usage.
streams = st.lists(
    st.tuples(other_events, st.just(False)) | st.tuples(extra_events, st.just(True)), max_size=8
)


def measured(meter: Meter, pieces: list[bytes]) -> tuple[TokenCount, bytes]:
    passed = b"".join([*map(meter.feed, pieces), meter.finish()])
    return meter.count, passed


@checked
@given(st.data(), streams, noise, st.booleans())
def test_stream_is_metered_and_relayed_the_same_however_it_is_split(
    data: st.DataObject, events: list[tuple[bytes, bool]], end: bytes, strips: bool
) -> None:
    stream = b"".join(text for text, _ in events) + end
    pieces = data.draw(pieces_of(stream))
    assert measured(StreamMeter(strips=strips), pieces) == measured(StreamMeter(strips=strips), [stream])


@checked
@given(st.data(), streams, noise)
def test_every_byte_of_a_stream_is_relayed_at_once_if_nothing_is_removed(
    data: st.DataObject, events: list[tuple[bytes, bool]], end: bytes
) -> None:
    meter = StreamMeter(strips=False)
    for piece in data.draw(pieces_of(b"".join(text for text, _ in events) + end)):
        assert meter.feed(piece) == piece
    assert meter.finish() == b""


@checked
@given(st.data(), streams, ends, st.integers(0, 4), st.sampled_from([150, MAX_EVENT_BYTES]))
def test_only_the_requested_chunk_is_removed(
    data: st.DataObject, events: list[tuple[bytes, bool]], end: str, cut: int, limit: int
) -> None:
    """Also beside events that are too long to be parsed, and whose end is split."""
    whole = b"".join(text for text, _ in events)
    long = event({"text": "x" * 400}, end, "")
    first, last = whole + long[: len(long) - cut], long[len(long) - cut :] + whole
    pieces = [*data.draw(pieces_of(first)), *data.draw(pieces_of(last))]
    _, passed = measured(StreamMeter(strips=True, max_event_bytes=limit), pieces)
    kept = b"".join(text for text, is_extra in events if not is_extra)
    assert passed == kept + long + kept


bodies = st.builds(
    lambda text, told, spaces: json.dumps({"data": text, "usage": told}, indent=spaces).encode(),
    texts,
    usages | st.none(),
    st.sampled_from([None, 2]),
) | st.binary(max_size=60)


@checked
@given(st.data(), bodies)
def test_body_is_metered_and_relayed_the_same_however_it_is_split(data: st.DataObject, body: bytes) -> None:
    count, passed = measured(BodyMeter(), data.draw(pieces_of(body)))
    assert passed == body
    assert count == measured(BodyMeter(), [body])[0]


LONG = b'{"data":"%s","usage":{"prompt_tokens":1},"more":"%s"}' % (b"x" * 300, b"x" * 100)


@checked
@example([LONG[:340], LONG[340:]])
@given(bodies.map(lambda body: body + LONG + body).flatmap(pieces_of))
def test_long_body_is_metered_the_same_however_it_is_split(pieces: list[bytes]) -> None:
    in_pieces, whole = (BodyMeter(max_bytes=300, end_bytes=60) for _ in range(2))
    assert measured(in_pieces, pieces) == measured(whole, [b"".join(pieces)])
