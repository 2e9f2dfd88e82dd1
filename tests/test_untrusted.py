"""The bounds of numbers and texts that LM Studio sends."""

from __future__ import annotations

import json
import math

import msgspec
import pytest
from hypothesis import given

from lmgateway import untrusted
from tests.support.properties import checked, odd_json, odd_numbers, often

HALF = "\ud83d"
ODD = [
    None,
    True,
    False,
    "7",
    "",
    [7],
    {"a": 7},
    -1,
    -0.5,
    math.nan,
    math.inf,
    -math.inf,
    1e308,
    10**400,
    -(10**400),
]


@pytest.mark.parametrize("value", [*ODD, 7.5, 10**9 + 1])
def test_a_count_that_is_none_is_unknown(value: object) -> None:
    """Not 0, which would be a known count."""
    assert untrusted.count(value) is None


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (7, 7), (7.0, 7), (-0.0, 0), (10**9, 10**9)])
def test_a_count(value: float, expected: int) -> None:
    counted = untrusted.count(value)
    assert (counted, type(counted)) == (expected, int)


@pytest.mark.parametrize("value", ODD)
def test_a_time_a_speed_and_a_share_that_are_none_are_unknown(value: object) -> None:
    assert (untrusted.seconds(value), untrusted.per_second(value), untrusted.fraction(value)) == (None,) * 3


@pytest.mark.parametrize(
    ("value", "share"), [(0, 0.0), (0.5, 0.5), (1, 1.0), (1.0000001, 1.0), (1.02, None), (36.6, None)]
)
def test_a_share(value: float, share: float | None) -> None:
    """Rounding may bring it above 1; percents aren't taken for it."""
    assert untrusted.fraction(value) == share


def test_a_time_and_a_speed() -> None:
    assert (untrusted.seconds(0.25), untrusted.seconds(10**7 + 1)) == (0.25, None)
    assert (untrusted.per_second(43), untrusted.per_second(10**6 + 1)) == (43.0, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("qwen", "qwen"),
        ("", ""),
        ("Grüße 😀", "Grüße 😀"),
        (f"a{HALF}b", "a\ufffdb"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("x" * 256, "x" * 256),
        ("x" * 257, "x" * 255 + "…"),
        (f"{'x' * 254}{HALF}yz", f"{'x' * 254}\ufffd…"),
        (7, None),
        (None, None),
        (["a"], None),
        (b"a", None),
    ],
)
def test_a_text(value: object, expected: str | None) -> None:
    """It can be encoded, and is no longer than a name may be."""
    assert untrusted.text(value) == expected


def test_data_of_any_shape_is_bounded() -> None:
    """In depth, in width, and in each value."""
    deep: object = 1
    for _ in range(500):
        deep = [deep]
    assert untrusted.plain(deep) == [[[[None]]]]
    assert untrusted.plain({HALF: HALF, "n": math.nan, "i": 10**400, "f": 0.5, "t": True, "o": object()}) == {
        "\ufffd": "\ufffd",
        "n": None,
        "i": None,
        "f": 0.5,
        "t": True,
        "o": None,
    }
    wide = untrusted.plain([[0] * 1000, dict.fromkeys(map(str, range(1000)))])
    assert [len(part) for part in wide] == [100, 100]  # type: ignore[union-attr,attr-defined]


@pytest.mark.parametrize(
    ("spelled", "value"),
    [
        ("1" + "0" * 400, None),
        ("1" + "0" * 5000, None),
        ("-" + "9" * 5000, None),
        ("1e400", None),
        ("-1E400", None),
        ("0." + "1" * 5000, None),
        ("NaN", None),
        ("-Infinity", None),
        ("12", 12),
        ("-1.5e3", -1500.0),
    ],
)
def test_a_number_of_any_size_spoils_no_document(spelled: str, value: object) -> None:
    data = untrusted.parse_json(f'{{"a":[{spelled}],"b":7}}')
    assert untrusted.plain(data) == {"a": [value], "b": 7}
    assert value is not None or data != untrusted.plain(data)


@pytest.mark.parametrize("document", ["", "{", "[1,]", "{'a':1}"])
def test_what_is_no_json_raises(document: str) -> None:
    with pytest.raises(ValueError, match=r"Expecting|enclosed"):
        untrusted.parse_json(document)


@pytest.mark.parametrize(
    "spelled", [b"", b"true", b"null", b'"7"', b"[7]", b"{}", b"1e999", b"\xff", b"9" * 41]
)
def test_what_is_no_number_is_none(spelled: bytes) -> None:
    assert untrusted.parse_number(spelled) is None


@checked
@given(odd_json)
def test_whatever_comes_can_be_encoded(value: object) -> None:
    """And decoded again to the same, by an encoder that raises on what isn't JSON in UTF-8."""
    repaired = untrusted.plain(value)
    assert json.loads(msgspec.json.encode(repaired)) == repaired
    for repair in (untrusted.text, untrusted.count, untrusted.whole, untrusted.seconds, untrusted.fraction):
        part = repair(value)
        assert json.loads(msgspec.json.encode(part)) == part


@checked
@given(odd_json)
def test_what_is_repaired_stays_as_it_is(value: object) -> None:
    once = untrusted.plain(value)
    assert untrusted.plain(once) == once


@often
@given(odd_numbers)
def test_a_spelled_number_is_read_as_json_or_not_at_all(value: float) -> None:
    spelled = str(value) if isinstance(value, int) else repr(value)
    read = untrusted.parse_number(spelled.encode())
    assert read in {None, value}
    assert read == value or abs(value) >= 10**39 or not math.isfinite(value)
