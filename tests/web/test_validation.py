"""What is wrong with a body: every mistake with its path, and never a fault of the gateway."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from lmgateway.schema.models import ActivateRequest, LoadRequest
from lmgateway.web.validation import MAX_MISTAKES, mistakes
from tests.conftest import StartGateway
from tests.support.upstream import ScriptedUpstream

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
    """Every mistake is told at once, by the field's path as the client spelt it."""
    found = {mistake["path"]: mistake["message"] for mistake in mistakes(body, LoadRequest)}
    assert found.keys() == expected.keys()
    for path, words in expected.items():
        assert words in found[path]


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


@pytest.mark.parametrize("kind", [LoadRequest, ActivateRequest])
def test_null_is_absent(kind: type[LoadRequest | ActivateRequest]) -> None:
    """Clients that send null for what they don't set are understood, at every depth."""
    nulls: dict[str, Any] = {info.encode_name: None for info in msgspec.structs.fields(kind)}
    nulls["modelKey"] = "m"
    assert mistakes(nulls, kind) == []
    assert msgspec.convert(nulls, kind) == kind(model_key="m")
    nulls["defaultInference"] = {"temperature": None, "stopStrings": None}
    assert mistakes(nulls, kind) == []


BAD_JSON = [
    pytest.param(b"", id="empty"),
    pytest.param(b"{nonsense", id="malformed"),
    pytest.param(b'{"modelKey":"m"', id="truncated"),
    pytest.param(b'{"modelKey":"m"}{}', id="two values"),
    pytest.param(b'{"modelKey":NaN}', id="NaN"),
    pytest.param(b'{"modelKey":"\xff"}', id="not UTF-8"),
    pytest.param(b'{"modelKey":"\\ud800"}', id="half a character"),
    pytest.param(b"[" * 100_000, id="nested too deep"),
    pytest.param(b'{"modelKey":1,nonsense', id="malformed after a mistake"),
    pytest.param(b'{"modelKey":1,"instanceId":"\xff"}', id="not UTF-8 after a mistake"),
    pytest.param(b'{"modelKey":"m","x":' + b"[" * 100_000, id="nested too deep in an unknown field"),
    pytest.param(b'{"modelKey":"m","ttlSeconds":1e999}', id="beyond any number"),
    pytest.param(b'{"modelKey":"m","ttlSeconds":1' + b"0" * 5000 + b"}", id="beyond any integer"),
]


@pytest.mark.parametrize("body", BAD_JSON)
async def test_no_json(start_gateway: StartGateway, body: bytes) -> None:
    """Whatever a client sends as JSON, it is the client who is told; 400 and a sentence, never 5xx."""
    gateway = await start_gateway(NOWHERE)
    headers = {"Content-Type": "application/json"}
    url = gateway.url("/admin/models/load")
    async with gateway.client.post(url, data=body, headers=headers) as response:
        assert response.status == 400
        assert isinstance((await response.json())["error"], str)


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
    """The answer says what is wrong in a form that a program can show beside its fields."""
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


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
async def test_large_body(start_gateway: StartGateway, chunked: bool) -> None:
    """Two megabytes are no admin request, whether or not it says so first."""
    gateway = await start_gateway(NOWHERE)
    body = io.BytesIO(b'{"modelKey":"' + b"m" * 2 * 1024**2 + b'"}')

    async def pieces() -> AsyncIterator[bytes]:
        yield body.read()

    async with gateway.client.post(
        gateway.url("/admin/models/load"),
        data=pieces() if chunked else body,
        headers={"Content-Type": "application/json"},
    ) as response:
        assert response.status == 413
        assert "error" in await response.json()


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "text/json"])
async def test_other_content_types(
    start_gateway: StartGateway, upstream: ScriptedUpstream, content_type: str
) -> None:
    """What a page of another site could send without asking is refused, saying what to send."""
    gateway = await start_gateway(upstream.base_url)
    async with gateway.client.post(
        gateway.url("/admin/models/load"), data=b'{"modelKey":"m"}', headers={"Content-Type": content_type}
    ) as response:
        assert response.status == 415
        assert "application/json" in (await response.json())["error"]
    assert not upstream.received


def test_of_thousands_of_mistakes_the_first_are_told() -> None:
    """Looking for the name that each of them may have meant would hold up everybody else."""
    found = mistakes({f"model{number}": 1 for number in range(10_000)}, LoadRequest)
    assert len(found) == MAX_MISTAKES
