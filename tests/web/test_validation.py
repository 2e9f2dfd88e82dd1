"""Validation of bodies: every mistake with its path."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from lmgateway.schema.keys import NewKey
from lmgateway.schema.models import ActivateRequest, LoadRequest
from lmgateway.web.validation import MAX_MISTAKES, mistakes
from tests.conftest import StartGateway
from tests.support.turns import longest_turn

NOWHERE = "http://127.0.0.1:9"


def load(**fields: object) -> dict[str, object]:
    return {"modelKey": "m", **fields}


MISTAKES: dict[str, tuple[object, dict[str, str]]] = {
    "required": ({}, {"modelKey": "missing"}),
    "null where something is required": ({"modelKey": None}, {"modelKey": "null"}),
    "empty name": ({"modelKey": ""}, {"modelKey": "length >= 1"}),
    "empty optional name": (load(instanceId=""), {"instanceId": "length >= 1"}),
    "negative": (load(ttlSeconds=-1), {"ttlSeconds": ">= 0"}),
    "fraction": (load(ttlSeconds=1.5), {"ttlSeconds": "int"}),
    "true is no number": (load(ttlSeconds=True), {"ttlSeconds": "bool"}),
    "text for a flag": (load(activate="no"), {"activate": "bool"}),
    "array for an object": (load(loadConfig=[]), {"loadConfig": "array"}),
    "text for an array": (load(defaultInference={"stopStrings": "."}), {"defaultInference.stopStrings": ""}),
    "too many": (
        load(defaultInference={"stopStrings": ["."] * 257}),
        {"defaultInference.stopStrings": "length <= 256"},
    ),
    "nested": (load(loadConfig={"contextLength": 0}), {"loadConfig.contextLength": ">= 1"}),
    "twice nested": (load(loadConfig={"gpu": {"ratio": 1.01}}), {"loadConfig.gpu.ratio": "<= 1"}),
    "no such word": (
        load(loadConfig={"gpu": {"ratio": "half"}}),
        {"loadConfig.gpu.ratio": "'half'; there are max, off"},
    ),
    "in an array": (
        load(loadConfig={"gpu": {"disabledGpus": [0, ""]}}),
        {"loadConfig.gpu.disabledGpus[1]": ""},
    ),
    "misspelt": (load(activte=True), {"activte": "did you mean activate?"}),
    "misspelt below": (load(loadConfig={"gpu": {"rato": 1}}), {"loadConfig.gpu.rato": "did you mean ratio?"}),
    "nothing like it": (load(xyzzy=1), {"xyzzy": "there are modelKey, instanceId"}),
    "snake case": (load(model_key="m"), {"model_key": "did you mean modelKey?"}),
    "everything at once": (
        {"ttlSeconds": "1", "zzz": 1, "loadConfig": {"cpuThreads": 0, "gpu": {"ratio": 2, "layers": -1}}},
        {"modelKey": "", "ttlSeconds": "", "zzz": ""}
        | {"loadConfig.cpuThreads": "", "loadConfig.gpu.ratio": "", "loadConfig.gpu.layers": ""},
    ),
    "root is an array": ([], {"": "Expected an object, got an array"}),
    "root is text": ("m", {"": "Expected an object, got a string"}),
    "root is a number": (1, {"": "Expected an object, got a number"}),
    "root is a flag": (True, {"": "Expected an object, got a boolean"}),
    "root is null": (None, {"": "Expected an object, got null"}),
}


@pytest.mark.parametrize(("body", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_load_request(body: object, expected: dict[str, str]) -> None:
    """All mistakes are reported together, each with the field's path as the client spelled it."""
    found = {mistake["path"]: mistake["message"] for mistake in mistakes(body, LoadRequest)}
    assert found.keys() == expected.keys()
    for path, words in expected.items():
        assert words in found[path]


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("ttlSeconds", "1h", "Expected `int`, got `str`; write a whole number of at least 0"),
        ("loadConfig.contextLength", "abc", "Expected `int`, got `str`; write a whole number of at least 1"),
        ("defaultInference.temperature", "hot", "Expected `float`, got `str`; write a number from 0 to 2"),
        ("loadConfig.ropeFrequencyBase", "x", "Expected `float`, got `str`; write a number above 0"),
        ("loadConfig.flashAttention", "on", "Expected `bool`, got `str`; write true or false"),
        (
            "loadConfig.gpu.ratio",
            "half",
            "Invalid enum value 'half'; there are max, off, a number from 0 to 1",
        ),
    ],
)
def test_the_values_that_a_field_takes_are_named(field: str, value: str, sentence: str) -> None:
    """The type alone says little to somebody who has written a word in place of a number."""
    body: object = value
    for name in reversed(field.split(".")):
        body = {name: body}
    assert isinstance(body, dict)
    assert mistakes(load(**body), LoadRequest) == [{"path": field, "message": sentence}]


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        pytest.param({"modelKey": "m", "type": "llms"}, ["type"], id="type"),
        pytest.param({"modelKey": "m", "ttlSeconds": 1}, ["ttlSeconds"], id="a load's field"),
        pytest.param(
            {"modelKey": "m", "defaultInference": {"temperature": 2.1, "topK": -1, "maxTokens": 0}},
            ["defaultInference.maxTokens", "defaultInference.temperature", "defaultInference.topK"],
            id="out of range",
        ),
    ],
)
def test_activate_request(body: object, paths: list[str]) -> None:
    """Activating has its own fields, and the same rules."""
    assert sorted(mistake["path"] for mistake in mistakes(body, ActivateRequest)) == paths


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (
            "name",
            "Expected at most 64 lower-case letters, digits, `.`, `_` and `-`; first a letter or a digit",
        ),
        ("userHeader", "Expected a header field's name of at most 64 characters, such as `X-User`"),
    ],
)
def test_a_form_is_described(field: str, expected: str) -> None:
    """In words: few people read regular expressions."""
    body = {"name": "anna", field: "Anna B"}
    assert mistakes(body, NewKey) == [{"path": field, "message": expected}]


@pytest.mark.parametrize("kind", [LoadRequest, ActivateRequest])
def test_null_is_absent(kind: type[LoadRequest | ActivateRequest]) -> None:
    """null means absent, at every depth."""
    nulls: dict[str, Any] = {info.encode_name: None for info in msgspec.structs.fields(kind)}
    nulls["modelKey"] = "m"
    assert mistakes(nulls, kind) == []
    assert msgspec.convert(nulls, kind) == kind(model_key="m")
    nulls["defaultInference"] = {"temperature": None, "stopStrings": None}
    assert mistakes(nulls, kind) == []


@pytest.mark.parametrize(
    ("path", "body", "details"),
    [
        pytest.param(
            "load",
            b'{"modelKey":"","loadConfig":{"gpu":{"ratio":7}}}',
            [
                {"path": "modelKey", "message": "Expected `str` of length >= 1"},
                {"path": "loadConfig.gpu.ratio", "message": "Expected `float` <= 1.0"},
            ],
            id="load",
        ),
        pytest.param(
            "activate", b"[]", [{"path": "", "message": "Expected an object, got an array"}], id="activate"
        ),
        pytest.param(
            "unload", b"{}", [{"path": "modelKey", "message": "Required, and missing"}], id="unload"
        ),
        pytest.param(
            "load",
            b'{"modelKey":1,"modelKey":"m"}',
            [{"path": "modelKey", "message": "Expected `str`, got `int`"}],
            id="a mistake in a field that comes twice",
        ),
    ],
)
async def test_mistakes_over_http(
    start_gateway: StartGateway, path: str, body: bytes, details: list[dict[str, str]]
) -> None:
    """The response has a form that a program can show beside its fields."""
    gateway = await start_gateway(NOWHERE)
    async with gateway.client.post(
        gateway.url(f"/admin/models/{path}"), data=body, headers={"Content-Type": "application/json"}
    ) as response:
        assert response.status == 400
        assert await response.json() == {"error": "Validation failed", "details": details}


async def test_a_fraction_of_zero_is_none(start_gateway: StartGateway) -> None:
    """JSON knows one kind of number; Python's clients write 500.0 where JavaScript's write 500."""
    gateway = await start_gateway(NOWHERE)
    body = b'{"modelKey": "m", "defaultInference": {"maxTokens": 500.0, "temperature": 1.0, "topK": 4e1}}'
    async with gateway.client.post(
        gateway.url("/admin/models/activate"), data=body, headers={"Content-Type": "application/json"}
    ) as response:
        answer = await response.json()
    assert answer["defaultInference"] == {"maxTokens": 500, "temperature": 1.0, "topK": 40}
    assert response.status == 200


def test_of_thousands_of_mistakes_the_first_are_reported() -> None:
    """Searching the nearest name of each would block the event loop."""
    found = mistakes({f"model{number}": 1 for number in range(10_000)}, LoadRequest)
    assert len(found) == MAX_MISTAKES


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"modelKey":"m",%s}' % b",".join(b'"%050d":0' % n for n in range(15_000)), id="names"),
        pytest.param(b'{"modelKey":"m","%s":0}' % (b"x" * 900_000), id="a long name"),
        pytest.param(b'{"modelKey":[%s]}' % b",".join([b"0"] * 400_000), id="numbers"),
        pytest.param(b'{"modelKey":%s' % (b"[" * 900_000), id="brackets"),
    ],
)
async def test_a_long_body_is_rejected_without_blocking_others(
    start_gateway: StartGateway, body: bytes
) -> None:
    """Up to the limit of a megabyte, and the answer is short."""
    gateway = await start_gateway(NOWHERE)
    url = f"{gateway.base_url}/admin/models/load"
    async with (
        longest_turn() as longest,
        gateway.client.post(url, data=body, headers={"Content-Type": "application/json"}) as answer,
    ):
        assert answer.status == 400
        assert len(await answer.read()) < 2000
    assert longest.seconds < 0.05
