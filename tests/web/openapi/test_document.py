"""The document describes every operation, error and event, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request
from jsonschema import Draft202012Validator
from msgspec.structs import fields
from openapi_spec_validator import OpenAPIV31SpecValidator

from lmgateway.errors import GatewayError
from lmgateway.observe.events import Event
from lmgateway.schema.errors import AnthropicError, OpenAiError, OwnError
from lmgateway.traffic.dialects import DIALECTS
from lmgateway.web.operations.routes import OPERATIONS
from lmgateway.web.proxy import proxy
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.reloading import reload
from tests.web.openapi.published import Published, fetch, operations

NOWHERE = "http://127.0.0.1:9"
KEY = "the key of the house"
T = TypeVar("T")
SHAPES = {"OwnError": OwnError, "OpenAiError": OpenAiError, "AnthropicError": AnthropicError}


@pytest.fixture
async def gateway(start_gateway: StartGateway) -> Gateway:
    return await start_gateway(NOWHERE, auth={"api_key": KEY})


@pytest.mark.parametrize("auth", [{}, {"api_key": KEY}, {"api_key": KEY, "require_for_health": True}])
async def test_it_is_openapi_3_1(start_gateway: StartGateway, auth: dict[str, object]) -> None:
    """Every tool can read it, however the gateway is configured."""
    document = await fetch(await start_gateway(NOWHERE, auth=auth))
    assert document["openapi"].startswith("3.1.")
    errors = await asyncio.to_thread(lambda: list(OpenAPIV31SpecValidator(document).iter_errors()))
    assert [error.message for error in errors] == []


async def test_every_operation_leads_to_its_route(gateway: Gateway) -> None:
    """What is described exists, and not by a route for any path."""
    for one in operations(await fetch(gateway)):
        found = await gateway.app.router.resolve(make_mocked_request(one.method, one.example_path))
        assert found.http_exception is None, (one.method, one.path)
        (operation,) = (
            operation
            for operation in OPERATIONS
            if (operation.method, operation.path.replace(":.+", "")) == (one.method, one.path)
        )
        assert found.handler is operation.handler, (one.method, one.path)


async def test_every_route_has_its_operation(gateway: Gateway) -> None:
    """HEAD is GET's; of the routes for any path the prefix is described."""
    document = await fetch(gateway)
    published = {(one.method, one.path) for one in operations(document)}
    missing = []
    for route in gateway.app.router.routes():
        assert route.resource is not None
        path = route.resource.canonical
        if route.handler is proxy:
            prefix = path.removesuffix("/{tail}")
            is_published = any(f"{path}/".startswith(f"{prefix}/") for _, path in published)
        else:
            is_published = ("GET" if route.method == "HEAD" else route.method, path) in published
        if not is_published:
            missing.append((route.method, path))
    assert missing == []


def ours(kind: type[T]) -> list[type[T]]:
    """The gateway's own classes of this kind, without those of other tests."""
    below = [found for narrower in kind.__subclasses__() for found in ours(narrower)]
    return [kind, *below] if kind.__module__.startswith("lmgateway.") else below


async def test_every_error_is_described(gateway: Gateway) -> None:
    """Each kind has a description, and is a response of some operation."""
    document = await fetch(gateway)
    examples = document["components"]["examples"].values()
    published = {(example["x-code"], example["x-status"]) for example in examples}
    assert {(kind.code, kind.status) for kind in ours(GatewayError)} == published
    assert [kind.__name__ for kind in ours(GatewayError) if not vars(kind).get("__doc__")] == []


async def test_every_event_is_described(gateway: Gateway) -> None:
    """The stream's schema lists them."""
    stream = (await fetch(gateway))["paths"]["/debug/stream"]["get"]["responses"]["200"]
    published = {event["title"] for event in stream["content"]["text/event-stream"]["schema"]["anyOf"]}
    assert published == {kind.name for kind in ours(Event) if hasattr(kind, "name")}


async def test_examples_are_what_their_schemas_say(gateway: Gateway) -> None:
    """A copied example works."""
    document = await fetch(gateway)
    contents = [
        content
        for one in operations(document)
        for part in (one.described.get("requestBody", {}), *one.described["responses"].values())
        for content in part.get("content", {}).values()
        if "example" in content and isinstance(content["example"], dict)
    ]
    assert len(contents) > 40
    for content in contents:
        schema = {**content["schema"], "components": document["components"]}
        Draft202012Validator(schema).validate(content["example"])


def test_what_is_filled_in_is_described() -> None:
    """The parameters of a default inference are among the fields of the body that they are filled into."""
    for path, dialect in DIALECTS.items():
        (operation,) = (one for one in OPERATIONS if (one.method, one.path) == ("POST", path))
        assert operation.body is not None
        assert operation.body.kind is not None
        known = {info.encode_name for info in fields(operation.body.kind)}
        assert {"model", *dialect.parameters.values()} <= known, path


async def refusal(gateway: Gateway, one: Published, **headers: str) -> tuple[int, bytes]:
    url = gateway.url(one.example_path)
    async with gateway.client.request(one.method, url, headers=headers, allow_redirects=False) as response:
        return response.status, await response.read()


async def test_it_says_which_operations_need_a_key(gateway: Gateway) -> None:
    """Without it those are 401, and no others."""
    document = await fetch(gateway)
    for one in operations(document):
        status, _ = await refusal(gateway, one)
        assert (status == 401) == bool(one.described.get("security", document["security"])), one.path


async def test_errors_have_the_described_shape(gateway: Gateway) -> None:
    """A client decodes an error by the path's schema."""
    document = await fetch(gateway)
    for one in operations(document):
        if "401" not in one.described["responses"] or one.method == "HEAD":
            continue
        response = document["components"]["responses"][_name(one.described["responses"]["401"])]
        schema = response["content"]["application/json"]["schema"]
        shapes = [SHAPES[_name(ref)] for ref in schema.get("anyOf", [schema]) if _name(ref) in SHAPES]
        for shape, headers in zip(shapes, ({}, {"anthropic-version": "2023-06-01"}), strict=False):
            _, body = await refusal(gateway, one, **headers)
            found = msgspec.json.decode(body, type=shape)
            assert msgspec.json.encode(found) == body, one.path


def _name(reference: dict[str, str]) -> str:
    return reference["$ref"].rpartition("/")[2]


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_it_needs_no_key_and_is_cached(gateway: Gateway, path: str) -> None:
    """It explains how to send the key, so it is open."""
    async with gateway.client.get(gateway.url(path)) as response:
        etag = response.headers["ETag"]
        assert (response.status, response.headers["Cache-Control"]) == (200, "no-cache")
        assert KEY not in await response.text()
    async with gateway.client.get(gateway.url(path), headers={"If-None-Match": etag}) as response:
        assert (response.status, await response.read()) == (304, b"")


async def test_it_contains_no_secret(start_gateway: StartGateway) -> None:
    """It is open to every client."""
    gateway = await start_gateway(
        "http://studio.local:4321", auth={"api_key": KEY}, lmstudio={"api_token": "token-of-the-studio"}
    )
    async with gateway.client.get(gateway.url("/openapi.json")) as response:
        text = await response.text()
    assert [secret for secret in (KEY, "studio.local", "token-of-the-studio") if secret in text] == []


async def test_it_follows_the_configuration(gateway: Gateway) -> None:
    """A reload may change what needs a key; a client with a cached document gets the new one."""
    health = ("paths", "/health", "get")
    assert _at(await fetch(gateway), *health)["security"] == []
    async with gateway.client.get(gateway.url("/openapi.json")) as response:
        etag = response.headers["ETag"]
    reload(gateway, auth={"api_key": KEY, "require_for_health": True})
    closed = await fetch(gateway)
    assert "security" not in _at(closed, *health)
    assert closed["security"] == [{"bearer": []}, {"apiKey": []}]
    reload(gateway)
    assert (await fetch(gateway))["security"] == []
    async with gateway.client.get(gateway.url("/openapi.json"), headers={"If-None-Match": etag}) as response:
        assert response.status == 200


def _at(document: dict[str, Any], *path: str) -> Any:
    for name in path:
        document = document[name]
    return document
