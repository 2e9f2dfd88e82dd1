"""Tools that run on LM Studio's machine are found in any spelling of JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from lmgateway.traffic.long_body import LongBody
from lmgateway.traffic.members import MemberScan
from lmgateway.traffic.rewrite import WANTED, Body, decode_long
from lmgateway.traffic.short_body import ShortBody
from lmgateway.traffic.tool_use import JUDGED_BYTES, UnjudgedTools, runs_tools
from tests.support.processor import processor_seconds
from tests.support.properties import checked

PATH = "/v1/responses"


def spelled(text: str, escapes: int) -> str:
    """A JSON string in which the bits choose the characters that are escaped."""
    characters = (f"\\u{ord(each):04x}" if escapes >> at & 1 else each for at, each in enumerate(text))
    return f'"{"".join(characters)}"'


spellings = st.builds(
    spelled, st.sampled_from(["type", "mcp", "function", "namespace", "x"]), st.integers(0, 511)
)
spaces = st.sampled_from(["", " ", "\n\t", "\r\n "])
odd_strings = st.text(max_size=8).map(json.dumps) | st.sampled_from(
    [r'"\"type\":\"mcp\""', "\"type':'mcp\"", r'"\\"', r'"\ud83d"', '"mcp"']
)
scalars = spellings | odd_strings | st.sampled_from(["null", "1", "true"])


def objects(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.builds("{0}{1}{0}:{2}{3}{2}".format, spaces, spellings | odd_strings, spaces, inner)
    return st.lists(pairs, max_size=4).map(lambda members: f"{{{','.join(members)}}}")


values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]") | objects(inner),
    max_leaves=8,
)


def has_mcp(value: object) -> bool:
    """Whether any object has the type, as a parser sees it."""
    if isinstance(value, dict):
        return value.get("type") == "mcp" or any(map(has_mcp, value.values()))
    return isinstance(value, list) and any(map(has_mcp, value))


def bodies_of(text: bytes) -> list[Body]:
    scan = MemberScan(text, WANTED)
    while scan.step():
        pass
    decoded = decode_long(text, lambda _: False)
    return [ShortBody.decoded(text), LongBody.scanned(text, scan), *([] if decoded is None else [decoded])]


@checked
@example(r'[{"t\u0079pe" : "mc\u0070"}]')
@given(values)
def test_no_spelling_hides_a_tool(tools: str) -> None:
    """And what has no such words isn't a tool."""
    for body in bodies_of(b'{"model":"m","tools":%s}' % tools.encode()):
        assert body.fields is not None
        found = runs_tools(PATH, body)
        if has_mcp(json.loads(tools)):
            assert found
        elif "mcp" not in json.dumps(json.loads(tools)):
            assert not found


@checked
@given(values)
def test_a_members_value_is_complete_and_byte_for_byte(value: str) -> None:
    """In a short body and in a long one."""
    for body in bodies_of(b'{"model":"m","tools" : %s }' % value.encode()):
        found = body.value("tools")
        assert found is not None
        assert bytes(found) == value.encode()
        assert body.value("integrations") is None


@pytest.mark.parametrize("size", [JUDGED_BYTES, JUDGED_BYTES + 1])
def test_a_megabyte_is_judged(size: int) -> None:
    """And more isn't."""
    text = b'{"model":"m","tools":["%s"]}' % (b"x" * (size - 4))
    for body in bodies_of(text):
        if size > JUDGED_BYTES:
            with pytest.raises(UnjudgedTools):
                runs_tools(PATH, body)
        else:
            assert not runs_tools(PATH, body)


@pytest.mark.parametrize(
    "item", [b'""', b'"type"', b'"type"' + b" " * 10_000, b'{"type":"mc"}', b'{"type" :  "\\u006dc"}']
)
def test_the_search_takes_time_in_proportion_to_the_length(item: bytes) -> None:
    """A megabyte of near matches doesn't hold up other requests for long."""
    count = (JUDGED_BYTES - 20) // (len(item) + 1)
    tools = b'["mcp",%s]' % b",".join([item] * count)
    body = ShortBody(b"", {"tools": Raw(tools)}, b"")
    assert not runs_tools(PATH, body)
    assert processor_seconds(lambda: runs_tools(PATH, body)) < 0.2
