"""The table of operations: routes, and the scope that each needs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from aiohttp import web

from lmgateway.access.callers import Caller, Callers
from lmgateway.schema.keys import SCOPES, Scope
from lmgateway.traffic.target import PROXIED_PREFIXES
from lmgateway.web.operations.operation import Operation
from lmgateway.web.operations.routes import OPERATIONS, OWN_OPERATIONS
from lmgateway.web.proxy import proxy
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.raw_client import raw_client
from tests.support.requests import request
from tests.support.upstream import ScriptedUpstream
from tests.web.operations.test_areas import MACHINE_CHANGES

KEYED = {"auth": {"api_key": "the key of the house"}}


@pytest.fixture
async def gateway(start_gateway: StartGateway, upstream: ScriptedUpstream) -> Gateway:
    return await start_gateway(upstream.base_url, **KEYED)


@pytest.fixture
def call_as(monkeypatch: pytest.MonkeyPatch) -> Callable[[frozenset[Scope]], None]:
    """Identify every client as a caller with these scopes."""

    def become(scopes: frozenset[Scope]) -> None:
        caller = Caller(name="guest", scopes=scopes)
        monkeypatch.setattr(Callers, "identify", lambda _callers, _credential, _address: caller)

    return become


def example_path(operation: Operation) -> str:
    path = operation.path.replace(":.+", "")
    for parameter in operation.parameters:
        path = path.replace(f"{{{parameter.name}}}", parameter.example)
    return path


async def ask(gateway: Gateway, operation: Operation, *, method: str | None = None) -> tuple[int, str]:
    """Return the status and, of an error, the body. Nothing is read of an event stream, which has no end."""
    url = gateway.url(example_path(operation))
    async with gateway.client.request(method or operation.method, url, allow_redirects=False) as response:
        return response.status, await response.text() if response.status >= 400 else ""


async def test_the_router_and_the_table_have_the_same_routes(gateway: Gateway) -> None:
    """No route lacks a scope, and none that the table has is missing."""
    own, proxied = set(), set()
    for route in gateway.app.router.routes():
        assert route.resource is not None
        if route.handler is proxy:
            proxied.add(route.resource.canonical.removesuffix("/{tail}"))
        elif route.method != "HEAD":
            own.add((route.method, route.resource.canonical, route.handler))
    table = {(one.method, one.path.replace(":.+", ""), one.handler) for one in OWN_OPERATIONS}
    assert own == table
    assert proxied >= set(PROXIED_PREFIXES)
    studios = (one for one in OPERATIONS if one.handler is proxy)
    assert [one.path for one in studios if not one.path.startswith(PROXIED_PREFIXES)] == []


async def _handler(_request: web.Request) -> web.StreamResponse:
    raise NotImplementedError


def test_an_operation_says_which_scope_it_needs() -> None:
    """A new path without a scope is a TypeError."""
    with pytest.raises(TypeError, match="scope"):
        Operation("GET", "/new", _handler, tag="T", summary="S", answers={})  # type: ignore[call-arg]


async def test_only_open_operations_need_no_key(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """By any method; a refused request doesn't reach LM Studio."""
    for operation in OPERATIONS:
        methods = ("GET", "HEAD") if operation.method == "GET" else (operation.method,)
        for method in methods:
            status, _ = await ask(gateway, operation, method=method)
            is_open = operation.scope in {"open", "health"}
            assert (status == 401) != is_open, (method, operation.path)
    assert not upstream.received


async def test_health_needs_the_key_if_the_configuration_says_so(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    auth = {**KEYED["auth"], "require_for_health": True}
    gateway = await start_gateway(upstream.base_url, auth=auth)
    for operation in OPERATIONS:
        if operation.scope == "health":
            assert (await ask(gateway, operation))[0] == 401


async def test_the_scope_is_needed_and_enough(
    gateway: Gateway, upstream: ScriptedUpstream, call_as: Callable[[frozenset[Scope]], None]
) -> None:
    """A caller with every other scope is refused, one with this scope alone is admitted."""
    for operation in OPERATIONS:
        if operation.scope not in SCOPES:
            continue
        call_as(SCOPES - {operation.scope, "admin"})
        status, text = await ask(gateway, operation)
        assert status == 403, operation.path
        assert f"scope {operation.scope}" in text or operation.method == "HEAD", operation.path
        assert not upstream.received
        call_as(frozenset({operation.scope}))
        status, _ = await ask(gateway, operation)
        assert status not in {401, 403}, operation.path
        upstream.received.clear()


async def test_no_spelling_escapes_the_scope(
    gateway: Gateway, upstream: ScriptedUpstream, call_as: Callable[[frozenset[Scope]], None]
) -> None:
    """Nor does another method."""
    call_as(SCOPES - {"models", "admin"})
    for raw in MACHINE_CHANGES:
        for method in ("POST", "GET", "PUT", "FOO"):
            async with raw_client(gateway.port) as client:
                sent = request(f"{method} {raw}".encode(), b"Content-Length: 0")
                assert (await client.ask(sent)).status in {400, 401, 403}, (method, raw)
    assert not upstream.received


async def test_a_404_needs_a_key_of_any_scope(
    gateway: Gateway, call_as: Callable[[frozenset[Scope]], None]
) -> None:
    """Without a key, existing and missing paths look the same."""
    for path in ("/nowhere", "/admin/nowhere", "/dashboard/nowhere", "/docs/x"):
        async with gateway.client.get(gateway.url(path)) as response:
            assert response.status == 401, path
    call_as(frozenset())
    async with gateway.client.get(gateway.url("/nowhere")) as response:
        assert response.status == 404


async def test_a_wrong_method_needs_the_key_too(gateway: Gateway) -> None:
    """405 where no key is needed, 401 elsewhere."""
    for operation in OWN_OPERATIONS:
        path, status = example_path(operation), 405 if operation.scope in {"open", "health"} else 401
        async with gateway.client.put(gateway.url(path)) as response:
            assert response.status == status, path
