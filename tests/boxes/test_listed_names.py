"""The names in LM Studio's list of models."""

from __future__ import annotations

import pytest

from lmgateway.boxes.listed_names import names_in

GOOD = b'{"id":"a","object":"model"},{"id":"b"}'


@pytest.mark.parametrize(
    "entry",
    [
        b"7",
        b"null",
        b"{}",
        b'{"id":7}',
        b'{"id":"\\ud83d"}',
        b'{"id":"\xff"}',
        b'{"id":null,"x":1e999}',
        b'{"\\uDE00":7}',
    ],
)
def test_an_odd_entry_spoils_no_list(entry: bytes) -> None:
    assert names_in(b'{"data":[%s,%s]}' % (entry, GOOD))[-2:] == ["a", "b"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"data":{}}', b"[" * 3000, b'{"error":"no"}'])
def test_anything_else_has_no_names(body: bytes) -> None:
    assert names_in(body) == []
