"""Heads are sent as aiohttp writes them, which is the oracle here."""

from __future__ import annotations

import pytest
from aiohttp.http_writer import _serialize_headers
from multidict import CIMultiDict, istr

from lmgateway.aiohttp_private.heads import head_of

START = "HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("Content-Type", "text/plain")],
        [("Set-Cookie", "a=1"), ("set-cookie", "b=2"), (istr("X-Id"), "")],
        [("X-Tab", "a\tb"), ("X-Name", "Grüße"), ("X-Lost", "\udc80x")],
    ],
)
def test_a_head_is_what_aiohttp_writes(fields: list[tuple[str, str]]) -> None:
    head = CIMultiDict(fields)
    assert head_of(START, head) == _serialize_headers(START, head)


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\nb", "a\rb", "a\0b"])
def test_a_field_that_would_be_two_lines_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        head_of(START, CIMultiDict({"X-One": value}))


@pytest.mark.parametrize("start", ["GET / HTTP/1.1\r\nHost: other", "GET /\0 HTTP/1.1"])
def test_a_start_line_that_would_be_two_is_refused(start: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        head_of(start, CIMultiDict())
