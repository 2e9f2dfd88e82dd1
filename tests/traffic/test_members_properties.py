"""The scan of long bodies finds what msgspec finds, whatever the body is and wherever it is cut."""

from __future__ import annotations

import json

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from lmgateway.traffic.dialects import Dialect
from lmgateway.traffic.long_body import LongBody
from lmgateway.traffic.members import MemberScan
from lmgateway.traffic.rewrite import WANTED, Body, Filled, decode_long
from lmgateway.traffic.short_body import ShortBody
from lmgateway.traffic.surrogates import Masked
from tests.support.properties import checked, often
from tests.traffic.filling import choice_of, fill
from tests.traffic.test_rewrite_properties import (
    ACTIVE,
    JUDGED,
    KNOWN,
    bodies,
    dialects,
    members_of,
    names,
    objects,
    options,
    spaces,
    values,
)

# The smallest window that any number fits in.
windows = st.integers(48, 96) | st.just(16 * 1024)
odd_strings = st.sampled_from(
    [
        *(r'"\ud83d"', r'"\ude00\ud83d"', r'"mod\u0065l"', r'"\u006D\u006f\u0064el"', r'"m\\u006fdel"'),
        *('"é"', '"modél"', '"\x7f"', '""'),
    ]
)
long_strings = st.integers(0, 200).map(lambda length: json.dumps("x" * length)) | st.integers(0, 60).map(
    lambda count: '"%s"' % (r"\\\"" * count)
)
towers = st.integers(0, 40).map(lambda depth: "[" * depth + "1" + "]" * depth) | st.integers(0, 20).map(
    lambda depth: '[{"a":' * depth + "[]" + "}]" * depth
)
odd_values = values | odd_strings | long_strings | towers
any_names = names | odd_strings | long_strings
any_bodies = (
    st.builds("{}{}{}".format, spaces, objects(odd_values, any_names), spaces)
    | st.lists(st.tuples(any_names, odd_values), max_size=30).map(
        lambda members: "{" + ",".join(f"{name}:{value}" for name, value in members) + "}"
    )
).map(str.encode)


def found(body: bytes, window: int) -> dict[str, bytes] | None:
    scan = MemberScan(body, WANTED, window_bytes=window)
    while scan.step():
        pass
    if not scan.is_object:
        return None
    assert body[: scan.start].lstrip(b"\xef\xbb\xbf \t\r\n") == b"{"
    members = {name: body[start:end] for name, (start, end) in scan.spans.items()}
    assert not (scan.is_empty and members)
    return members


def decoded(body: bytes) -> dict[str, bytes] | None:
    text = body.removeprefix(b"\xef\xbb\xbf")
    try:
        fields = msgspec.json.decode(Masked(text).text, type=dict[str, Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return {name: bytes(value) for name, value in fields.items() if name in {*KNOWN, *JUDGED}}


def agree(body: bytes, window: int) -> None:
    members, expected = found(body, window), decoded(body)
    assert (members is None) == (expected is None), body
    if members is not None and expected is not None:
        assert members.keys() == expected.keys(), body
        # Masked changes what is in a value, but not how long it is.
        assert [len(members[name]) for name in members] == [len(expected[name]) for name in members], body


@often
@given(any_bodies, windows)
def test_the_scan_agrees_with_msgspec_on_objects(body: bytes, window: int) -> None:
    """Repeated names, escapes, white space, halves of characters."""
    agree(body, window)


@often
@example(b'{"model":[[[[[1]] ] ]]  } ', 0, b" ", 48)
@example(rb'{"\uZZZZ":1}', 0, b" ", 48)
@example(rb'{"a":"\x"}', 0, b" ", 48)
@example(b'{"\xff":1}', 0, b" ", 48)
@example(b'{"\xed\xa0\x80":1}', 0, b" ", 48)
@example(b'{"a":"\xff"}', 0, b" ", 48)
@example(b'{"a":1,}', 0, b"", 48)
@example(b'{"a":[1,]}', 0, b"", 48)
@example(b'{"a":[}', 0, b"", 48)
@given(
    any_bodies,
    st.integers(0),
    st.sampled_from([*(bytes([code]) for code in b'{}[]",:\\u0e.-+ 1nt\x00'), b""]),
    windows,
)
def test_the_scan_agrees_with_msgspec_on_what_is_not_quite_json(
    body: bytes, place: int, odd: bytes, window: int
) -> None:
    where = place % (len(body) + 1)
    agree(body[:where] + odd + body[where:], window)
    agree(body[:where] + odd + body[where + 1 :], window)
    agree(body[:where], window)


@checked
@given(bodies, windows)
def test_a_byte_order_mark_is_no_hindrance(body: bytes, window: int) -> None:
    assert found(b"\xef\xbb\xbf" + body, window) == found(body, window)


def scanned(body: bytes) -> LongBody:
    scan = MemberScan(body, WANTED)
    while scan.step():
        pass
    return LongBody.scanned(body, scan)


def model_of(body: Body) -> str | None:
    return choice_of(body, ACTIVE).model


def joined(filled: Filled) -> bytes:
    return filled.body if isinstance(filled.body, bytes) else b"".join(filled.body)


@often
@given(
    bodies | options.map(lambda told: f'{{"stream":true,"stream_options":{told}}}'.encode()),
    dialects,
    st.booleans(),
    st.booleans(),
)
def test_a_long_body_is_filled_in_like_a_short_one(
    body: bytes, dialect: Dialect, account_streams: bool, is_marked: bool
) -> None:
    """With the same members, and byte for byte the same where none of them gets a new value."""
    text = b"\xef\xbb\xbf" + body if is_marked else body
    short = fill(text, dialect, ACTIVE, account_streams=account_streams)
    for long in (scanned(text), decode_long(text, lambda _: False)):
        if long is None:
            continue
        filled = fill(long, dialect, ACTIVE, account_streams=account_streams)
        told = [(each.streaming, each.asks_usage) for each in (short, filled)]
        assert told[0] == told[1]
        assert model_of(long) == model_of(ShortBody.decoded(text))
        bare = [joined(each).removeprefix(b"\xef\xbb\xbf") for each in (short, filled)]
        assert members_of(bare[0]) == members_of(bare[1])
        if members_of(body).items() <= members_of(bare[0]).items():
            assert joined(filled) == joined(short)


@checked
@given(st.binary(max_size=60) | bodies.map(lambda body: body.rstrip()[:-1]), dialects)
def test_a_long_body_that_is_no_object_is_untouched(body: bytes, dialect: Dialect) -> None:
    filled = fill(scanned(body), dialect, ACTIVE, account_streams=True)
    if decoded(body) is None:
        assert (joined(filled), filled.streaming) == (body, False)
