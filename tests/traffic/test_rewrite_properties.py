"""Filling in bodies of any form."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Mapping

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from lmgateway.schema.models import ActiveModel, DefaultInference
from lmgateway.traffic.dialects import DIALECTS, Dialect
from lmgateway.traffic.rewrite import Filled
from tests.support.properties import checked
from tests.traffic.filling import fill

ACTIVE = ActiveModel(
    model_key="active",
    default_inference=DefaultInference(
        temperature=0.5,
        max_tokens=100,
        top_p=0.25,
        top_k=7,
        repeat_penalty=1.5,
        stop_strings=("end",),
        stream=True,
    ),
)
EXPECTED = {"temperature": 0.5, "max_tokens": 100, "top_p": 0.25, "top_k": 7, "repeat_penalty": 1.5}
EXPECTED |= {"stop": ["end"], "stop_sequences": ["end"], "max_output_tokens": 100, "stream": True}
KNOWN = sorted({"model", "stream_options", "max_completion_tokens", *EXPECTED})
JUDGED = ["tools", "integrations", "previous_response_id"]

dialects = st.sampled_from(list(DIALECTS.values()))
spaces = st.sampled_from(["", "", " ", "\n\t ", "\r\n"])
strings = st.builds(json.dumps, st.text(max_size=8), ensure_ascii=st.booleans()) | st.sampled_from(
    [r'"\/\u00e9\ud83d\ude00"', r'"\u0000"', '"{\\"model\\":1}"']
)
numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
scalars = st.sampled_from(["null", "true", "false", '""']) | strings | numbers
known_names = st.sampled_from([*KNOWN, *JUDGED])
vital_names = st.sampled_from(['"model"', '"stream"', '"stream_options"'])
escaped_names = known_names.map(lambda name: f'"\\u{ord(name[0]):04x}{name[1:]}"')
names = vital_names | known_names.map(json.dumps) | escaped_names | strings


@st.composite
def objects(draw: st.DrawFn, values: st.SearchStrategy[str], member_names: st.SearchStrategy[str]) -> str:
    """A JSON object in any spelling that JSON allows."""
    members = [
        "".join(
            (draw(spaces), name, draw(spaces), ":", draw(spaces), draw(values_of(name, values)), draw(spaces))
        )
        for name in draw(st.lists(member_names, max_size=6, unique_by=json.loads))
    ]
    return "{%s}" % (",".join(map("".join, members)) or draw(spaces))


def values_of(name: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Possible values of this member, meaningful ones more often."""
    match json.loads(name):
        case "model":
            return st.sampled_from(["null", '""', '"m"']) | values
        case "stream":
            return st.sampled_from(["true", "true", "false"]) | values
        case "stream_options":
            return options | options | values
        case _:
            return values


options = st.sampled_from(
    [*("null", "{}", '{"x":1.0}', '{"include_usage":true}'), '{ "include_usage" :false,"x":{}}', "[]"]
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{' ,'.join(items)}]")
        | objects(inner, strings | st.just('"include_usage"'))
    ),
    max_leaves=5,
)
bodies = st.builds("{}{}{}".format, spaces, objects(values, names), spaces).map(str.encode)


def members_of(body: bytes) -> Mapping[str, Raw]:
    return msgspec.json.decode(body, type=dict[str, Raw])


def is_empty(model: Raw | None) -> bool:
    return model is None or json.loads(bytes(model)) in (None, "")


def differing(before: bytes, filled: Filled) -> set[str]:
    old, new = members_of(before), members_of(filled.body)
    assert old.keys() <= new.keys()
    return {name for name in new if name not in old or bytes(old[name]) != bytes(new[name])}


@checked
@given(bodies, dialects, st.booleans())
def test_every_member_of_the_client_is_unchanged(
    body: bytes, dialect: Dialect, account_streams: bool
) -> None:
    """Except an empty model, and stream_options that get one more member."""
    filled = fill(body, dialect, ACTIVE, account_streams=account_streams)
    old = members_of(body)
    for name in differing(body, filled) & old.keys():
        assert (name == "model" and is_empty(old["model"])) or (
            name == "stream_options" and filled.asks_usage
        )


@checked
@given(bodies, dialects)
def test_what_is_absent_is_filled_and_nothing_else(body: bytes, dialect: Dialect) -> None:
    filled = fill(body, dialect, ACTIVE)
    old, new = members_of(body), members_of(filled.body)
    absent = {name for name in dialect.parameters.values() if name not in old}
    if "max_completion_tokens" in old:
        absent.discard("max_tokens")
    added = {name: json.loads(bytes(new[name])) for name in differing(body, filled)}
    model = {"model": "active"} if is_empty(old.get("model")) else {}
    assert added == {**model, **{name: EXPECTED[name] for name in absent}}


@checked
@given(bodies, dialects)
def test_order_and_spelling_are_unchanged_if_nothing_is_replaced(body: bytes, dialect: Dialect) -> None:
    """Every byte after the opening brace is the client's own."""
    filled = fill(body, dialect, ACTIVE)
    if not (differing(body, filled) & members_of(body).keys()):
        start, _, rest = body.partition(b"{")
        assert filled.body.startswith(start + b"{")
        assert filled.body.endswith(rest)


@checked
@given(bodies, dialects)
def test_body_to_which_nothing_is_added_is_the_same_bytes(body: bytes, dialect: Dialect) -> None:
    assert fill(body, dialect, None).body == body
    full = fill(body, dialect, ACTIVE).body
    assert fill(full, dialect, ACTIVE).body == full


@checked
@given(bodies | options.map(lambda told: f'{{"stream":true,"stream_options":{told}}}'.encode()), dialects)
def test_usage_is_requested_only_in_streams_and_only_once(body: bytes, dialect: Dialect) -> None:
    filled = fill(body, dialect, None, account_streams=True)
    old, new = members_of(body), members_of(filled.body)
    streams = "stream" in old and json.loads(bytes(old["stream"])) is True
    assert filled.streaming is streams
    if not filled.asks_usage:
        assert filled.body == body
        return
    assert streams
    assert dialect.usage_on_request
    before, after = old.get("stream_options", Raw(b"null")), new["stream_options"]
    was = {} if json.loads(bytes(before)) is None else dict(members_of(bytes(before)))
    assert was.pop("include_usage", None) != Raw(b"true")
    now = dict(members_of(bytes(after)))
    assert now.pop("include_usage") == Raw(b"true")
    assert {name: bytes(value) for name, value in now.items()} == {
        name: bytes(value) for name, value in was.items()
    }


@checked
@given(
    st.binary(max_size=40).filter(lambda body: not body.strip(b" \t\r\n").startswith(b"{"))
    | values.filter(lambda text: not text.startswith("{")).map(str.encode)
    | bodies.map(lambda body: body.rstrip()[:-1])
    | bodies.map(lambda body: body + b"x"),
    dialects,
)
def test_what_is_no_object_is_untouched(body: bytes, dialect: Dialect) -> None:
    assert fill(body, dialect, ACTIVE, account_streams=True) == Filled(body)


@checked
@given(bodies, dialects)
def test_a_byte_order_mark_changes_nothing_that_is_filled_in(body: bytes, dialect: Dialect) -> None:
    marked = BOM_UTF8 + body
    plain, filled = (fill(sent, dialect, ACTIVE, account_streams=True) for sent in (body, marked))
    assert filled == (plain if plain.body != body else msgspec.structs.replace(plain, body=marked))


@checked
@example(b'{"model":"\xff"}', 0, b"", DIALECTS["/v1/embeddings"])
@example(b'{"stream":true,"stream_options":{"\xff":1}}', 0, b"", DIALECTS["/v1/completions"])
@given(bodies, st.integers(0), st.sampled_from([b"\xff", b"\xc3", b"\xed\xa0\x80"]), dialects)
def test_bytes_that_are_no_text_are_forwarded(body: bytes, place: int, odd: bytes, dialect: Dialect) -> None:
    """Filled in or not."""
    where = place % (len(body) + 1)
    body = body[:where] + odd + body[where:]
    for active in (None, ACTIVE):
        filled = fill(body, dialect, active, account_streams=True).body
        assert filled == body or odd in filled
