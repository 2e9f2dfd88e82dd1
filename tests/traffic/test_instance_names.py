"""The name of an instance in a request's body, and the member that would load the model anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw
from multidict import CIMultiDict

from lmgateway.config import Config, Queue, Residency
from lmgateway.schema.common import Mend
from lmgateway.schema.models import DefaultInference
from lmgateway.traffic import target
from lmgateway.traffic.dialects import DIALECTS
from lmgateway.traffic.long_body import LongBody
from lmgateway.traffic.members import MemberScan
from lmgateway.traffic.plan import Incoming, Plan, plan
from lmgateway.traffic.rewrite import WANTED, Body, Choice, decode_long, is_empty, text_of
from lmgateway.traffic.short_body import ShortBody
from tests.support.properties import checked, often
from tests.traffic.test_members_properties import any_bodies
from tests.traffic.test_rewrite_properties import bodies, members_of

CHAT, NATIVE = "/v1/chat/completions", "/api/v1/chat"
NAME = 'an "instance":2'
SPELLED = rb'"an \"instance\":2"'
OFF = (Config(residency=Residency(enabled=False)), Config(queue=Queue(enabled=False)))
HOT = Choice("active", "active", (DefaultInference(temperature=1.5),))
Decode = Callable[[bytes], Body]


def scanned(text: bytes) -> LongBody:
    scan = MemberScan(text, WANTED)
    while scan.step():
        pass
    return LongBody.scanned(text, scan)


def decoded(text: bytes) -> LongBody:
    """As a body of up to 2 MB is, if that is possible: the places of its members aren't known."""
    return decode_long(text, lambda _: False, "context_length") or scanned(text)


kinds = pytest.mark.parametrize("decode", [ShortBody.decoded, scanned, decoded])
any_kind = st.sampled_from([ShortBody.decoded, scanned, decoded])


def planned(
    body: Body, path: str = CHAT, choice: Choice | None = None, config: Config | None = None, *mends: Mend
) -> Plan:
    """Plan a request with this body, which keeps its model unless a choice is given."""
    if choice is None:
        choice = Choice(text_of((body.fields or {}).get("model")))
    incoming = Incoming("POST", target.parse(path), CIMultiDict(), DIALECTS[path], body)
    return plan(incoming, choice, config or Config(), lambda _: mends)


def named(request: Plan, name: str = NAME) -> Plan:
    """Name the instance, as the stage does which has the lease."""
    body = request.unlocated
    return request.with_instance(name, None if body is None else scanned(bytes(body.text)))


def sent(request: Plan) -> bytes:
    body = request.body
    assert isinstance(body, (bytes, tuple))
    return body if isinstance(body, bytes) else b"".join(body)


def values_of(body: bytes) -> dict[str, bytes]:
    return {name: bytes(value) for name, value in members_of(body.removeprefix(b"\xef\xbb\xbf")).items()}


def may_change(members: Mapping[str, Raw]) -> bool:
    """By hand: a text, null, or none."""
    model = members.get("model")
    return model is None or json.loads(bytes(model)) is None or bytes(model).startswith(b'"')


@often
@given(bodies, any_kind, st.sampled_from(list(DIALECTS)))
def test_only_the_model_changes(body: bytes, decode: Decode, path: str) -> None:
    """Every other member keeps its bytes and its place."""
    before = planned(decode(body), path)
    old, new = values_of(sent(before)), values_of(sent(named(before)))
    if not may_change(members_of(body)):
        assert sent(named(before)) == sent(before)
        return
    assert json.loads(new.pop("model")) == NAME
    old.pop("model", None)
    assert list(new.items()) == list(old.items())


@often
@given(bodies, any_kind, st.sampled_from(list(DIALECTS)))
def test_the_model_that_was_filled_in_is_replaced(body: bytes, decode: Decode, path: str) -> None:
    """And the parameters that were filled in stay."""
    model = members_of(body).get("model")
    if model is not None and not is_empty(model):
        return
    before = planned(decode(body), path, HOT)
    old, new = values_of(sent(before)), values_of(sent(named(before)))
    assert json.loads(old.pop("model")) == "active"
    assert json.loads(new.pop("model")) == NAME
    assert list(new.items()) == list(old.items())


@checked
@given(bodies, st.sampled_from(list(DIALECTS)))
def test_a_long_body_keeps_every_other_byte(body: bytes, path: str) -> None:
    """White space, repeated members and escaped names too."""
    long = scanned(body)
    if "model" not in long.spans or not may_change(members_of(body)):
        return
    start, end = long.spans["model"]
    assert sent(named(planned(long, path, Choice()))) == body[:start] + SPELLED + body[end:]


@checked
@given(any_bodies, any_kind)
def test_a_body_that_names_the_instance_is_the_same(body: bytes, decode: Decode) -> None:
    """Repeated members, halves of characters, no JSON at all."""
    before = planned(decode(body), choice=Choice())
    once = named(before)
    assert sent(named(once)) == sent(once)
    if (own := text_of((decode(body).fields or {}).get("model"))) is not None and own:
        assert sent(named(before, own)) == body


@kinds
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"m"}', b'{"model":%s}'),
        (b'{"a":1.0,"model":"m","b":1E2}', b'{"a":1.0,"model":%s,"b":1E2}'),
        (rb'{"h":"\ud83d","model":"a\/b"}', rb'{"h":"\ud83d","model":%s}'),
        (b'{"model":null,"a":1}', b'{"model":%s,"a":1}'),
        (b'{"a":{"model":"m"}}', b'{"model":%s,"a":{"model":"m"}}'),
        (b"{}", b'{"model":%s}'),
        (b'{"model":7}', b'{"model":7}'),
        (rb'{"model":"\ud83d"}', rb'{"model":"\ud83d"}'),
        (b"[]", b"[]"),
        (b'{"model":"m"', b'{"model":"m"'),
    ],
)
def test_where_the_name_goes(decode: Decode, body: bytes, expected: bytes) -> None:
    """LM Studio refuses a model that is no text, so that one stays."""
    assert sent(named(planned(decode(body)))) == expected.replace(b"%s", SPELLED)


@kinds
def test_a_second_instance_takes_the_place_of_the_first(decode: Decode) -> None:
    """Of a request that gets another lease; also if that has the name that the client sent."""
    request = planned(decode(b'{"model":"m","a":1}'))
    again = named(named(request), "other")
    assert (sent(again), again.relay.instance) == (b'{"model":"other","a":1}', "other")
    assert sent(named(again, "m")) == b'{"model":"m","a":1}'
    assert again.model == "m"


@kinds
@pytest.mark.parametrize("is_known", [True, False])
def test_mends_stay(decode: Decode, is_known: bool) -> None:
    """Those that were known to be needed, and the ones of a later round, which keep the name."""
    body = b'{"model":"m","messages":[],"response_format":{"type":"json_object"}}'
    schema = b'{"type":"json_schema","json_schema":{"name":"json_object","schema":{"type":"object"}}}'
    mended = b'{"model":%s,"messages":[],"response_format":%s}' % (SPELLED, schema)
    if is_known:
        request = named(planned(decode(body), CHAT, None, None, "json_object"))
    else:
        request = named(planned(decode(body))).with_mend("json_object", mended)
    assert (sent(request), request.relay.mended) == (mended, ("json_object",))
    assert sent(named(request, "n")) == mended.replace(SPELLED, b'"n"')


def test_a_long_body_is_not_copied() -> None:
    """Its parts are views of the client's bytes."""
    text = b'{"model":"m","pad":"%s"}' % (b"x" * 100_000)
    for decode in (scanned, decoded):
        parts = named(planned(decode(text))).body
        assert isinstance(parts, tuple)
        assert [part.obj is text for part in parts] == [True, True, False, True]


def test_what_a_waiting_long_body_keeps_of_its_members() -> None:
    """No copies: only of the model, which may be replaced."""
    text = b'{"model":"m","stop":"%s","pad":"%s"}' % (b"s" * 4000, b"x" * 100_000)
    source = planned(scanned(text)).source
    assert source is not None
    assert source.body.fields == {"model": Raw(b'"m"')}


@often
@example(rb'{"x":{"model":"m"},"mod\u0065l":"m"}')
@example(rb'{"\"model":"m","model":"m"}')
@example(b'{"model":"n","model":"m"}')
@example(b'{"x":{"model":"m"},"model":"m"}')
@given(any_bodies)
def test_a_place_that_is_found_without_a_scan_is_the_right_one(body: bytes) -> None:
    """Repeated members, escaped names, the same member deeper in the body."""
    fast = decode_long(body, lambda _: False)
    if fast is not None and not fast.is_located("model") and (found := fast.located("model")) is not None:
        assert found.spans["model"] == scanned(body).spans["model"]


@pytest.mark.parametrize("often", [98, 200])
def test_a_usual_body_needs_no_scan(often: int) -> None:
    """Also one with other members of the name; one with very many is scanned."""
    others = b'{"model":{"type":"string"}},' * often
    body = b'{"tools":[%s1],"a":"\\"model\\":\\"m\\"","model" : "m"}' % others
    found = decoded(body).located("model")
    assert (found is not None) == (often < 100)
    if found is not None:
        assert found.spans == {"model": (len(body) - 4, len(body) - 1)}


# ── The member that would load the model anew ──────────────────────────────────────────────────────────────

context_members = st.sampled_from(
    ['"context_length":4096', '"context\\u005flength" : null', '"context_length":{"a":[1,2]} ']
)


@often
@example(b"{}", '"context_length":4096', 0, ShortBody.decoded)
@given(bodies, context_members, st.integers(0), any_kind)
def test_it_is_left_out_wherever_it_stands(body: bytes, member: str, place: int, decode: Decode) -> None:
    """And nothing else: the members keep their bytes and their order, whatever is filled in."""
    members = list(values_of(body).items())
    texts = [json.dumps(name).encode() + b" :\n" + value for name, value in members]
    texts.insert(place % (len(texts) + 1), member.encode())
    whole = b" {\t" + b" ,\r\n".join(texts) + b" } "
    model = members_of(body).get("model")
    for choice in (Choice("m"), *([HOT] if model is None or is_empty(model) else [])):
        expected = planned(decode(body), NATIVE, choice)
        request = planned(decode(whole), NATIVE, choice)
        assert request.ignored == ("context_length",)
        assert values_of(sent(request)) == values_of(sent(expected))
        again = values_of(sent(named(request)))
        assert again == values_of(sent(named(expected)))
        assert [name for name in again if name in dict(members)] == [name for name, _ in members]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b' { "context_length" : 1 } ', b" {  } "),
        (b'{"context_length":1,"a":[1.0]}', b'{"a":[1.0]}'),
        (b'{"a":1 , "context_length" : 1 , "b":2}', b'{"a":1 ,  "b":2}'),
        (b'{"a":"," , "context_length":","\n}', b'{"a":"," \n}'),
        (b'{"a":{"context_length":1}}', b'{"a":{"context_length":1}}'),
    ],
)
def test_a_long_body_loses_one_comma(body: bytes, expected: bytes) -> None:
    assert sent(planned(scanned(body), NATIVE)) == expected


def test_all_of_them_go_from_a_short_body() -> None:
    """The last one counts, but without it the one before would."""
    body = ShortBody.decoded(b'{"context_length":1,"a":2,"context_length":3}')
    assert sent(planned(body, NATIVE)) == b'{"a":2}'


@kinds
def test_it_stays_where_it_means_nothing(decode: Decode) -> None:
    """In the other APIs, and without residency."""
    body = b'{"context_length":1,"model":"m"}'
    requests = [planned(decode(body)), *(planned(decode(body), NATIVE, None, config) for config in OFF)]
    assert [(sent(request), request.ignored) for request in requests] == [(body, ())] * 3
    assert planned(decode(b'{"model":"m"}'), NATIVE).ignored == ()
