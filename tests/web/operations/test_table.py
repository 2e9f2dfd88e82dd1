"""The table of operations: routes, and the scope that each needs."""

from __future__ import annotations

import re

import pytest
from aiohttp import web

from lmgateway.schema.keys import SCOPES
from lmgateway.traffic.target import PROXIED_PREFIXES
from lmgateway.web.operations.operation import Operation
from lmgateway.web.operations.routes import OPERATIONS, OWN_OPERATIONS
from lmgateway.web.proxy import proxy
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.keys import OWNER, make_key
from tests.support.raw_client import raw_client
from tests.support.requests import request
from tests.support.upstream import ScriptedUpstream
from tests.web.operations.test_areas import MACHINE_CHANGES

KEYED = {"auth": {"api_key": OWNER}}


@pytest.fixture
async def gateway(start_gateway: StartGateway, upstream: ScriptedUpstream) -> Gateway:
    # LM Studio has no SDK here, and isn't waited for.
    return await start_gateway(upstream.base_url, lmstudio={"connect_pause_ms": 0}, **KEYED)


def example_path(operation: Operation) -> str:
    path = operation.path.replace(":.+", "")
    for parameter in operation.parameters:
        path = path.replace(f"{{{parameter.name}}}", parameter.example)
    return path


async def ask(
    gateway: Gateway, operation: Operation, *, method: str | None = None, key: str | None = None
) -> tuple[int, str]:
    """Return the status and, of an error, the body. Nothing is read of an event stream, which has no end."""
    url, headers = gateway.url(example_path(operation)), {} if key is None else {"X-API-Key": key}
    async with gateway.client.request(
        method or operation.method, url, headers=headers, allow_redirects=False
    ) as response:
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


# What each scope opens, by the first pattern that matches "METHOD path". None: any key is
# enough, or none is needed.
SCOPE_OF = (
    (r"GET /admin/keys/self\Z", None),
    (r"GET /admin/usage\Z", "observe"),
    (r"\w+ /admin/models(/|\Z)", "models"),
    (r"\w+ /admin/", "admin"),
    (r"DELETE /debug/requests/", "inference"),
    (r"\w+ /debug/", "observe"),
    (r"GET (/metrics|/health/ready)\Z", "observe"),
    (r"\w+ /api/v1/models/(load|unload|download)", "models"),
    (r"\w+ /(v1|api/v0|api/v1)(/|\Z)", "inference"),
    (r"\w+ /(chat|completions|models|embeddings|responses|messages|images|audio)(/|\Z)", "inference"),
    (r"GET (/|/health|/docs|/openapi\.json|/lmstudio-greeting)\Z", None),
    (r"POST /dashboard/qr\Z", None),
    (r"GET /(dashboard|docs)(/|\Z)", None),
)


def scope_of(operation: Operation) -> str | None:
    line = f"{operation.method} {operation.path}"
    return next(scope for pattern, scope in SCOPE_OF if re.match(pattern, line))


async def test_every_scope_opens_what_is_its_own_and_nothing_else(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    """Each pair of a key with one scope and an operation. A refused request doesn't reach LM Studio.

    A new operation that the contract doesn't have fails here.
    """
    for scope in sorted(SCOPES):
        key = await make_key(gateway, f"only-{scope}", scopes=[scope])
        for operation in OPERATIONS:
            needed = scope_of(operation)
            status, text = await ask(gateway, operation, key=key)
            case = (scope, operation.method, operation.path, status)
            if needed in {None, scope} or scope == "admin":
                assert status not in {401, 403}, case
                upstream.received.clear()
            else:
                assert status == 403, case
                assert f"lacks the scope {needed}" in text or operation.method == "HEAD", case
                assert not upstream.received, case


async def test_all_other_scopes_together_are_not_enough(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    keys = {
        scope: await make_key(gateway, f"not-{scope}", scopes=sorted(SCOPES - {scope, "admin"}))
        for scope in sorted(SCOPES - {"tools", "log"})
    }
    for operation in OPERATIONS:
        needed = scope_of(operation)
        if needed is not None:
            assert (await ask(gateway, operation, key=keys[needed]))[0] == 403, operation.path
    assert not upstream.received


async def test_no_spelling_escapes_the_scope(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """Nor does another method."""
    key = await make_key(gateway, "guest", scopes=sorted(SCOPES - {"models", "admin"}))
    for raw in MACHINE_CHANGES:
        for method in ("POST", "GET", "PUT", "FOO"):
            async with raw_client(gateway.port) as client:
                fields = (b"Content-Length: 0", b"X-API-Key: " + key.encode())
                sent = request(f"{method} {raw}".encode(), *fields)
                assert (await client.ask(sent)).status in {400, 403}, (method, raw)
    assert not upstream.received


async def test_a_404_needs_a_key_of_any_scope(gateway: Gateway) -> None:
    """Without a key, existing and missing paths look the same."""
    for path in ("/nowhere", "/admin/nowhere", "/dashboard/nowhere", "/docs/x"):
        async with gateway.client.get(gateway.url(path)) as response:
            assert response.status == 401, path
    headers = {"X-API-Key": await make_key(gateway, "nothing", scopes=[])}
    async with gateway.client.get(gateway.url("/nowhere"), headers=headers) as response:
        assert response.status == 404


async def test_a_wrong_method_needs_the_key_too(gateway: Gateway) -> None:
    """405 where no key is needed, 401 elsewhere."""
    for operation in OWN_OPERATIONS:
        path, status = example_path(operation), 405 if operation.scope in {"open", "health"} else 401
        async with gateway.client.put(gateway.url(path)) as response:
            assert response.status == status, path
