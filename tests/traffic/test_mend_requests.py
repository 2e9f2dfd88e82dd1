"""Which refusals are recognised, and what the mended requests are."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lmgateway.traffic.mend_requests import MEND_BYTES, Mend, advice, mended, refused
from tests.support.processor import processor_seconds
from tests.support.properties import checked, odd_json

CHAT, NATIVE_CHAT, RESPONSES = "/v1/chat/completions", "/api/v0/chat/completions", "/v1/responses"
MESSAGES, EMBEDDINGS = "/v1/messages", "/v1/embeddings"
PATHS = (CHAT, NATIVE_CHAT, RESPONSES, MESSAGES, EMBEDDINGS, "/api/v0/embeddings", "/v1/models")

NO_OBJECT = "Invalid tool_choice type: 'object'. Supported string values: none, auto, required"
NO_JSON_OBJECT = "'response_format.type' must be 'json_schema' or 'text'"
NO_NUMBERS = "'input' field must be a string or an array of strings"
NO_TYPE = {
    "code": "invalid_union_discriminator",
    "options": ["object"],
    "path": [13, "function", "parameters", "type"],
    "message": "Invalid discriminator value. Expected 'object'",
}
NO_PROPERTIES = {
    "code": "invalid_type",
    "expected": "object",
    "received": "undefined",
    "path": [0, "function", "parameters", "properties"],
    "message": "Required",
}


def sentence(text: str) -> bytes:
    return json.dumps({"error": text}).encode()


def error(message: str, param: str | None, code: str | None) -> bytes:
    fields = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return json.dumps({"error": fields}).encode()


def issues(*found: object) -> bytes:
    """zod prints its issues with two spaces of indentation."""
    return sentence(json.dumps(found, indent=2))


REFUSALS = [
    (CHAT, sentence(NO_OBJECT), "tool_choice"),
    (CHAT, b'{"error":"%s"}' % NO_OBJECT.encode(), "tool_choice"),
    (NATIVE_CHAT, sentence(NO_OBJECT), "tool_choice"),
    (CHAT, sentence(NO_JSON_OBJECT), "json_object"),
    (CHAT, b' {\n  "error" : "%s"\n}\n' % NO_JSON_OBJECT.encode(), "json_object"),
    (
        RESPONSES,
        error(
            "Invalid discriminator value. Expected 'function' | 'mcp'",
            "tools.6.type",
            "invalid_union_discriminator",
        ),
        "tool_types",
    ),
    (RESPONSES, error("Invalid", "tools.8.type", "invalid_string"), "tool_types"),
    (CHAT, issues(NO_TYPE), "tool_schema"),
    (CHAT, issues(NO_TYPE, NO_PROPERTIES), "tool_schema"),
    (CHAT, sentence(json.dumps([NO_PROPERTIES])), "tool_schema"),
    (RESPONSES, error("Invalid input", "tools.0", "custom"), "tool_schema"),
]


@pytest.mark.parametrize(("path", "body", "mend"), REFUSALS)
def test_each_known_refusal_has_its_mend(path, body, mend):
    """LM Studio's sentence, in either shape and with any white space, says what to mend."""
    assert refused(path, 400, body) == mend


@pytest.mark.parametrize(("path", "body", "mend"), REFUSALS)
def test_a_refusal_counts_only_on_its_path_and_with_its_status(path, body, mend):
    """The same words in an answer, or from another endpoint, mend nothing."""
    for status in (200, 401, 404, 422, 500):
        assert refused(path, status, body) is None
    chats = {CHAT, NATIVE_CHAT}
    for other in set(PATHS) - (chats if path in chats else {path}):
        assert refused(other, 400, body) is None


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, sentence(f"{NO_OBJECT}.")),
        (CHAT, sentence(f"The user said: {NO_OBJECT}")),
        (CHAT, sentence(NO_OBJECT.lower())),
        (CHAT, json.dumps({"message": NO_OBJECT}).encode()),
        (CHAT, json.dumps({"choices": [{"message": {"content": NO_OBJECT}}]}).encode()),
        (CHAT, NO_OBJECT.encode()),
        (CHAT, sentence(NO_OBJECT) + b"x"),
        (CHAT, sentence(NO_NUMBERS)),
        (CHAT, issues()),
        (CHAT, issues(NO_TYPE, NO_TYPE | {"path": ["model"]})),
        (CHAT, issues(NO_TYPE | {"message": "Required"})),
        (CHAT, issues(NO_PROPERTIES | {"path": [0, "function", "name"]})),
        (RESPONSES, error("Invalid input", "input.0", "custom")),
        (RESPONSES, error("Invalid input", "tools.0", None)),
        (RESPONSES, error("Invalid input", None, "custom")),
        (RESPONSES, error("Invalid", "tools.8.type.x", "invalid_string")),
        (RESPONSES, sentence("Invalid input")),
        (CHAT, b""),
        (CHAT, b"\xff"),
        (CHAT, b'{"error":"\\ud83d"}'),
        (CHAT, b"[" * 100_000),
    ],
)
def test_any_other_refusal_is_left_as_it_is(path, body):
    """A refusal for another reason isn't repeated."""
    assert refused(path, 400, body) is None


def test_a_client_that_sends_token_numbers_is_advised():
    """The sentence names the setting of LangChain's client, whose requests can't be mended."""
    for body in (sentence(NO_NUMBERS), error(NO_NUMBERS, None, None)):
        for path in (EMBEDDINGS, "/api/v0/embeddings"):
            assert "check_embedding_ctx_length=False" in advice(path, 400, body)
        assert refused(EMBEDDINGS, 400, body) is None
        assert advice(CHAT, 400, body) is None
        assert advice(EMBEDDINGS, 200, body) is None
    assert advice(EMBEDDINGS, 400, sentence(NO_OBJECT)) is None


def function(name: str, **more: object) -> dict[str, object]:
    return {"type": "function", "function": {"name": name, **more}}


def flat(name: str, **more: object) -> dict[str, object]:
    return {"type": "function", "name": name, **more}


def choice(name: str) -> dict[str, object]:
    return {"type": "function", "function": {"name": name}}


WHOLE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NOTHING = {"type": "object", "properties": {}}
ANY_OBJECT = {"name": "json_object", "schema": {"type": "object"}}
MCP = {"type": "mcp", "server_label": "files", "server_url": "http://x"}
CUSTOM = {"type": "custom", "name": "apply_patch"}
SEARCH = {"type": "web_search"}
NAMESPACE = {"type": "namespace", "name": "disk", "tools": [flat("read"), CUSTOM, flat("write")]}

MENDED = [
    (
        "tool_choice",
        CHAT,
        {"tools": [function("a"), function("b", parameters=WHOLE)], "tool_choice": choice("b"), "n": 1},
        {"tools": [function("b", parameters=WHOLE)], "tool_choice": "required", "n": 1},
    ),
    ("tool_choice", CHAT, {"tools": [function("a")], "tool_choice": choice("c")}, None),
    ("tool_choice", CHAT, {"tools": [function("a")], "tool_choice": "required"}, None),
    ("tool_choice", CHAT, {"tool_choice": choice("a")}, None),
    (
        "json_object",
        CHAT,
        {"response_format": {"type": "json_object"}, "messages": []},
        {"response_format": {"type": "json_schema", "json_schema": ANY_OBJECT}, "messages": []},
    ),
    ("json_object", CHAT, {"response_format": {"type": "grammar"}}, None),
    ("json_object", CHAT, {"response_format": "json_object"}, None),
    ("json_object", CHAT, {}, None),
    (
        "tool_types",
        RESPONSES,
        {"tools": [flat("a"), CUSTOM, MCP, SEARCH, NAMESPACE], "tool_choice": "required"},
        {"tools": [flat("a"), MCP, flat("read"), flat("write")], "tool_choice": "required"},
    ),
    (
        "tool_types",
        RESPONSES,
        {"tools": [flat("a"), CUSTOM], "tool_choice": {"type": "custom", "name": "apply_patch"}},
        {"tools": [flat("a")], "tool_choice": "auto"},
    ),
    (
        "tool_types",
        RESPONSES,
        {"tools": [flat("a"), SEARCH], "tool_choice": SEARCH},
        {"tools": [flat("a")], "tool_choice": "auto"},
    ),
    (
        "tool_types",
        RESPONSES,
        {"tools": [SEARCH, NAMESPACE], "tool_choice": flat("write")},
        {"tools": [flat("read"), flat("write")], "tool_choice": flat("write")},
    ),
    (
        "tool_types",
        RESPONSES,
        {"tools": [SEARCH, MCP], "tool_choice": {"type": "mcp", "server_label": "files", "name": "read"}},
        {"tools": [MCP], "tool_choice": {"type": "mcp", "server_label": "files", "name": "read"}},
    ),
    (
        "tool_types",
        RESPONSES,
        {
            "tools": [flat("a"), CUSTOM],
            "tool_choice": {"type": "allowed_tools", "tools": [flat("a"), CUSTOM]},
        },
        {"tools": [flat("a")], "tool_choice": "auto"},
    ),
    ("tool_types", RESPONSES, {"tools": [SEARCH, {}, 1], "tool_choice": "auto", "x": 1}, {"x": 1}),
    ("tool_types", RESPONSES, {"tools": [flat("a"), MCP]}, None),
    ("tool_types", RESPONSES, {"tools": {}}, None),
    (
        "tool_schema",
        CHAT,
        {"tools": [function("a", parameters={"x": 1}), function("b", parameters=WHOLE), SEARCH]},
        {"tools": [function("a", parameters={"x": 1, **NOTHING}), function("b", parameters=WHOLE), SEARCH]},
    ),
    (
        "tool_schema",
        CHAT,
        {"tools": [function("a", parameters={"type": None, "properties": {"x": {}}}, strict=True)]},
        {"tools": [function("a", parameters={"type": "object", "properties": {"x": {}}}, strict=True)]},
    ),
    ("tool_schema", CHAT, {"tools": [function("a")]}, {"tools": [function("a", parameters=NOTHING)]}),
    ("tool_schema", CHAT, {"tools": [function("a", parameters=7), {"type": "function"}, flat("b")]}, None),
    (
        "tool_schema",
        RESPONSES,
        {"tools": [flat("a", parameters={}), flat("b", parameters=None), flat("c", parameters=WHOLE), MCP]},
        {
            "tools": [
                flat("a", parameters=NOTHING),
                flat("b", parameters=NOTHING),
                flat("c", parameters=WHOLE),
                MCP,
            ]
        },
    ),
    ("tool_schema", RESPONSES, {"tools": [flat("c", parameters=WHOLE), MCP, CUSTOM]}, None),
]


@pytest.mark.parametrize(("mend", "path", "body", "expected"), MENDED)
def test_a_request_is_mended(mend, path, body, expected):
    """Only the part that LM Studio refused is changed; the members stay in their order."""
    changed = mended(mend, path, json.dumps(body).encode())
    assert (changed and json.loads(changed)) == expected
    if changed is not None:
        assert list(json.loads(changed)) == [name for name in body if name in expected]


@pytest.mark.parametrize("mend", get_args(Mend))
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"1",
        b'{"tools":[{}],"tools":',
        b'{"tools":[{"type":"\xff"}]}',
        b'{"tools":[{"type":"web_search"}],"a":"\xff"',
        b'{"a":' + b"[" * 100_000,
    ],
)
def test_a_malformed_body_is_not_mended(mend, body):
    """LM Studio refuses it again, with its own words."""
    for path in PATHS:
        assert mended(mend, path, body) is None


def test_the_rest_of_a_body_survives_exactly():
    """Unknown fields, their order, the spelling of numbers, big integers, escapes and a byte order mark."""
    rest = rb'"seed":123456789012345678901234567890,"t":1.0E+2, "b" : [1 , 2],"s":"\u00e9\/\ud83d"'
    body = b'\xef\xbb\xbf{%s,"response_format":{"type":"json_object","x":1.50},"z":{"a" :1e5}}' % rest
    changed = mended("json_object", CHAT, body)
    expected = (
        rb'{"seed":123456789012345678901234567890,"t":1.0E+2,"b":[1 , 2],"s":"\u00e9\/\ud83d",'
        rb'"response_format":{"type":"json_schema","x":1.50,"json_schema":'
        rb'{"name":"json_object","schema":{"type":"object"}}},"z":{"a" :1e5}}'
    )
    assert changed == b"\xef\xbb\xbf" + expected


def test_lone_surrogates_stay_in_their_places_when_a_tool_is_left_out():
    """The halves of emoji in the tools that are left out aren't mixed up with those that stay."""
    body = (
        rb'{"tools":[{"type":"custom","description":"\ud83d \\ud83d"},'
        rb'{"type":"function","name":"a\udE00","description":"\\\uDc01 \ufdd0"}],"\ud801":"\ude00 \ud83d"}'
    )
    assert mended("tool_types", RESPONSES, body) == (
        rb'{"tools":[{"type":"function","name":"a\udE00","description":"\\\uDc01 \ufdd0"}],'
        rb'"\ud801":"\ude00 \ud83d"}'
    )


def test_a_picture_is_no_hindrance():
    """A request with a few megabytes of base64 is mended too, a longer one isn't."""
    picture = b"QUJD" * 1_000_000
    body = b'{"response_format":{"type":"json_object"},"x":"%s"}'
    assert mended("json_object", CHAT, body % picture) is not None
    assert mended("json_object", CHAT, body % (b"x" * MEND_BYTES)) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"tools":[' + b",".join([b"{}"] * 1_000_000) + b"]}",
        b'{"tools":[{"type":"x"}],' + b",".join(b'"%d":1' % number for number in range(500_000)) + b"}",
        b'{"tools":[{"type":"x"}],"a":"' + rb"\ud83d" * 1_000_000 + b'"}',
        b'{"tools":[{"type":"x"}],"a":"\\ud83d' + rb"\\" * 1_000_000 + b'"}',
    ],
)
def test_a_body_that_takes_long_is_not_mended(body):
    """A body of a million parts doesn't hold up the requests of others."""
    assert mended("tool_types", RESPONSES, body) is None
    assert processor_seconds(lambda: mended("tool_types", RESPONSES, body)) < 0.1


@pytest.mark.parametrize(
    ("path", "tool"), [(RESPONSES, b'{"type":"function"}'), (CHAT, b'{"type":"function","function":{}}')]
)
def test_more_tools_than_anybody_has_are_not_completed(path, tool):
    """Each takes a hundred times as long as its separators, so they have a limit of their own."""
    body = b'{"tools":[' + b",".join([tool] * 39_000) + b"]}"
    assert mended("tool_schema", path, body) is None
    assert processor_seconds(lambda: mended("tool_schema", path, body)) < 0.1


names = st.sampled_from(["a", "b", "c"])
tools = st.lists(
    st.builds(flat, names, parameters=odd_json)
    | st.builds(function, names, parameters=odd_json | st.just({}))
    | st.sampled_from([MCP, CUSTOM, SEARCH, NAMESPACE])
    | odd_json,
    max_size=5,
)
choices = st.sampled_from(["auto", SEARCH, flat("a")]) | st.builds(choice, names) | odd_json
requests = st.fixed_dictionaries(
    {"x": odd_json},
    optional={
        "tools": tools | odd_json,
        "tool_choice": choices,
        "response_format": st.just({"type": "json_object"}) | odd_json,
        "\ud83d": odd_json,
    },
)
mends = st.sampled_from(get_args(Mend))


@checked
@given(mends, st.sampled_from(PATHS), requests)
def test_other_members_are_never_changed(mend, path, request):
    """And a mended request needs no second mend of its kind."""
    body = json.dumps(request).encode()
    changed = mended(mend, path, body)
    if changed is None:
        return
    own = {"tool_choice": ("tools", "tool_choice"), "json_object": ("response_format",)}.get(
        mend, ("tools", "tool_choice")
    )
    before, after = json.loads(body), json.loads(changed)
    for members in (before, after):
        for name in own:
            members.pop(name, None)
    assert json.dumps(before) == json.dumps(after)
    assert mended(mend, path, changed) is None


@checked
@example(CHAT, b'{"error":{"message":1}}')
@given(st.sampled_from(PATHS), st.binary() | odd_json.map(lambda value: json.dumps(value).encode()))
def test_nothing_is_raised(path, body):
    """Whatever LM Studio answers, and whatever the client sent."""
    assert refused(path, 400, body) is None
    assert advice(path, 400, body) is None
    for mend in get_args(Mend):
        mended(mend, path, body)
