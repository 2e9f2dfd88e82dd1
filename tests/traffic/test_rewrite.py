"""What is filled into a request's body, and what is left alone."""

from __future__ import annotations

import json

import pytest

from lmgateway.schema.models import ActiveModel, DefaultInference
from lmgateway.traffic.dialects import DIALECTS
from tests.support.processor import processor_seconds
from tests.traffic.filling import fill

CHAT, EMBEDDINGS = DIALECTS["/v1/chat/completions"], DIALECTS["/v1/embeddings"]
BARE = ActiveModel(model_key="qwen")
DEFAULTS = DefaultInference(
    temperature=0.5, max_tokens=9, top_p=0.9, top_k=40, repeat_penalty=1.1, stop_strings=("#",), stream=True
)
FULL = ActiveModel(model_key="qwen", instance_id="qwen:2", default_inference=DEFAULTS)
SHARED = {"temperature": 0.5, "top_p": 0.9, "stream": True}
OPENAI = SHARED | {"max_tokens": 9, "top_k": 40, "repeat_penalty": 1.1, "stop": ["#"]}
RESPONSES = SHARED | {"max_output_tokens": 9}
MESSAGES = SHARED | {"max_tokens": 9, "top_k": 40, "stop_sequences": ["#"]}
NATIVE = SHARED | {"max_output_tokens": 9, "top_k": 40, "repeat_penalty": 1.1}
FILLED = {
    "/v1/chat/completions": ("llm", OPENAI),
    "/v1/completions": ("llm", OPENAI),
    "/api/v0/chat/completions": ("llm", OPENAI),
    "/api/v0/completions": ("llm", OPENAI),
    "/v1/responses": ("llm", RESPONSES),
    "/v1/messages": ("llm", MESSAGES),
    "/v1/messages/count_tokens": ("llm", {}),
    "/v1/embeddings": ("embedding", {}),
    "/api/v0/embeddings": ("embedding", {}),
    "/api/v1/chat": ("llm", NATIVE),
}


@pytest.mark.parametrize("path", FILLED)
def test_each_api_is_filled_in_by_its_own_names(path):
    """The active model and its defaults have this API's parameter names."""
    kind, parameters = FILLED[path]
    assert DIALECTS[path].model_type == kind
    assert json.loads(fill(b"{}", DIALECTS[path], FULL).body) == {"model": "qwen:2", **parameters}


def test_no_other_path_is_filled_in():
    """Bodies on other paths aren't read."""
    assert DIALECTS.keys() == FILLED.keys()


@pytest.mark.parametrize("value", ["64", "null"])
def test_the_newer_name_of_max_tokens_counts(value):
    """A client that limits its answer by max_completion_tokens doesn't get a second limit."""
    body = fill(b'{"max_completion_tokens":%s}' % value.encode(), CHAT, FULL).body
    assert "max_tokens" not in json.loads(body)


@pytest.mark.parametrize("stops", [(), ("a", "b")])
def test_stop_strings_are_passed_on_as_they_were_set(stops):
    """An empty list is a setting too."""
    active = ActiveModel(model_key="m", default_inference=DefaultInference(stop_strings=stops))
    assert json.loads(fill(b"{}", CHAT, active).body) == {"model": "m", "stop": list(stops)}


@pytest.mark.parametrize(
    ("body", "filled"),
    [
        (b"{}", b'{"model":"qwen"}'),
        (b"{ }", b'{"model":"qwen" }'),
        (b'\r\n\t {"a":1} \n', b'\r\n\t {"model":"qwen","a":1} \n'),
        (b'{"model":null}', b'{"model":"qwen"}'),
        (b'{"model" : "" }', b'{"model":"qwen"}'),
        (b'{"mod\\u0065l":""}', b'{"model":"qwen"}'),
        (b'{"a":1,"model":null,"b":2}', b'{"a":1,"model":"qwen","b":2}'),
        (b'{"model":"mine","model":""}', b'{"model":"qwen"}'),
        (b'{"Model":"mine"}', b'{"model":"qwen","Model":"mine"}'),
        (b'{"a":{"model":"mine"}}', b'{"model":"qwen","a":{"model":"mine"}}'),
    ],
    ids=["empty", "space", "white space around", "null", '""', "escaped name", "in the middle",
     "last one counts", "another name", "not at the top"],
)  # fmt: skip
def test_a_missing_model_is_filled_in(body, filled):
    """A request without a model gets the active one."""
    assert fill(body, CHAT, BARE).body == filled


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"model":"mine"}', id="named"),
        pytest.param(b'{"model":"","model":"mine"}', id="named at last"),
        pytest.param(b'{"mod\\u0065l":"mine"}', id="escaped name"),
        pytest.param(b'{"model":0}', id="zero"),
        pytest.param(b'{"model":false}', id="false"),
        pytest.param(b'{"model":" "}', id="space"),
        pytest.param(b'{"model":{}}', id="object"),
        pytest.param(b"", id="empty"),
        pytest.param(b"   ", id="blank"),
        pytest.param(b"null", id="null"),
        pytest.param(b'[{"a":1}]', id="array"),
        pytest.param(b'"text"', id="string"),
        pytest.param(b"--b\r\nContent-Disposition: form-data\r\n\r\n\xff\x00", id="multipart"),
        pytest.param(b"a=1&b=2", id="form"),
        pytest.param(b'\xef\xbb\xbf{"model":"mine"}', id="byte order mark"),
        pytest.param(b'\xef\xbb\xbf\xef\xbb\xbf["a"]', id="two byte order marks"),
        pytest.param('{"a":1}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"a":1', id="cut off"),
        pytest.param(b'{"a":1}{}', id="two objects"),
        pytest.param(b'{"a":1,}', id="trailing comma"),
        pytest.param(b'{"a":01}', id="leading zero"),
        pytest.param(b'{"a":NaN}', id="NaN"),
        pytest.param(b"{'a':1}", id="single quotes"),
        pytest.param(b'{"a":"\n"}', id="control character"),
        pytest.param(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="too deep"),
        pytest.param(b'{"\xff":1}', id="name not UTF-8"),
    ],
)
def test_a_body_with_nothing_to_fill_in_goes_byte_for_byte(body):
    """A body with a model, or that is no JSON object, is forwarded."""
    assert fill(body, CHAT, BARE).body == body


def test_a_large_body_that_is_no_json_doesnt_block_the_event_loop():
    """An upload to the wrong path doesn't delay other requests."""
    body = b"x" * 20_000_000
    assert fill(body, CHAT, BARE).body is body
    assert processor_seconds(lambda: fill(body, CHAT, BARE)) < 0.15


def test_a_profile_fills_in_beside_a_lone_surrogate():
    """Such a body is parsed like any other."""
    body = rb'{"model":"other","a":"\ud83d"}'
    assert fill(body, CHAT, FULL, DefaultInference(top_k=1)).body.endswith(
        rb'"top_k":1,"temperature":0.5,"max_tokens":9,"top_p":0.9,"repeat_penalty":1.1,"stop":["#"],'
        rb'"stream":true,"model":"other","a":"\ud83d"}'
    )


@pytest.mark.parametrize("model", [b"", b'"model":"",'], ids=["model missing", "model empty"])
@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b'"z":1,"a":2,"m":3', id="order"),
        pytest.param(b'"n":[1.0,1e0,1E+00,-0.0,1.10]', id="spelling of numbers"),
        pytest.param(b'"n":123456789012345678901234567890', id="large integer"),
        pytest.param(b'"n":1e999', id="number beyond a float"),
        pytest.param(rb'"s":"caf\u00e9 \ud83d\ude00 \/ \u0000"', id="escapes"),
        pytest.param('"s":"café 😀"'.encode(), id="UTF-8"),
        pytest.param(rb'"a":"\ud83d","k\ud83d":1,"z":"\ude00"', id="halves of characters, in a name too"),
        pytest.param('"\ufdd0":"\\uFDD1\\ud83d","k\\ud83d":1'.encode(), id="what stands for a half itself"),
        pytest.param(b'"o":{ "a" : [ 1 ,\n2 ] }', id="white space in a value"),
        pytest.param(b'"o":{"a":1,"a":2}', id="repeated name in a value"),
        pytest.param(b'"o":' + b"[" * 500 + b"]" * 500, id="deep"),
    ],
)
def test_everything_else_survives_exactly(model, rest):
    """Tool schemas, seeds and ids arrive with their value and spelling."""
    assert rest in fill(b"{%s%s}" % (model, rest), CHAT, FULL).body


@pytest.mark.parametrize(
    ("body", "active", "streaming"),
    [
        pytest.param(b'{"stream":true}', None, True, id="asked for"),
        pytest.param(b'{"stream" :\ttrue }', BARE, True, id="asked for, with white space"),
        pytest.param(b'{"stream":false,"stream":true}', BARE, True, id="last one counts"),
        pytest.param(b"{}", FULL, True, id="by default"),
        pytest.param(b"{}", BARE, False, id="no default"),
        pytest.param(b'{"stream":false}', FULL, False, id="declined"),
        pytest.param(b'{"stream":null}', FULL, False, id="null declines"),
        pytest.param(b'{"stream":"true"}', BARE, False, id="text"),
        pytest.param(b'{"o":{"stream":true}}', BARE, False, id="not at the top"),
        pytest.param(b'[{"stream":true}]', FULL, False, id="no object"),
    ],
)
def test_whether_a_stream_is_asked_for_is_known(body, active, streaming):
    """It decides which time-out applies."""
    assert fill(body, CHAT, active).streaming is streaming


def test_embeddings_are_never_streams():
    """A chat model's default doesn't turn a request for embeddings into a stream."""
    assert fill(b'{"input":"x"}', EMBEDDINGS, FULL).streaming is False
