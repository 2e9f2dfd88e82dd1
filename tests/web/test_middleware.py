"""Access control over HTTP, and what every response contains."""

from __future__ import annotations

import asyncio
import logging

import pytest

from lmgateway.web.state import ACTIVE_MODELS, EVENTS
from tests.conftest import StartGateway
from tests.support.raw_client import raw_client
from tests.support.requests import request
from tests.support.upstream import ScriptedUpstream, answer, silent
from tests.support.waiting import until

KEYED = {"auth": {"api_key": "a key"}}
PAGE = "https://page.example"
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}


async def test_own_errors_keep_the_old_shape(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """Scripts for the older gateways compare `error` with exactly this."""
    gateway = await start_gateway(upstream.base_url, **KEYED)
    for path in ("/admin/models", "/debug/status", "/metrics", "/health/ready"):
        async with gateway.client.get(gateway.url(path)) as response:
            body = await response.json()
        assert body.keys() == {"error", "details"}
        assert body["error"] == "Unauthorized"
        # How a key is sent, and where one comes from.
        assert "'Authorization: Bearer <key>' or as 'X-API-Key: <key>'" in body["details"]
        assert "`lmgateway keys add NAME`" in body["details"]
    async with gateway.client.get(gateway.url("/metrics"), headers={"X-API-Key": "secret"}) as response:
        body = await response.json()
    assert body["details"].startswith("The key is wrong, was revoked, or has expired.")
    assert "secret" not in body["details"]
    gateway = await start_gateway(upstream.base_url, network={"ip_allowlist": ["10.0.0.0/8"]})
    async with gateway.client.get(gateway.url("/health")) as response:
        assert response.status == 403
        body = await response.json()
    assert body["error"] == "Forbidden"
    assert body["details"] == "127.0.0.1 is not on the gateway's allowlist (network.ip_allowlist)."


@pytest.mark.parametrize(
    ("tables", "path", "allowed"),
    [
        ({}, "/v1/models", None),
        (KEYED, "/v1/models", "*"),
        (KEYED, "/admin/models/active", None),
        ({**KEYED, "cors": {"origins": [PAGE]}}, "/admin/models/active", PAGE),
        ({"cors": {"origins": [PAGE]}}, "/v1/models", PAGE),
        ({"cors": {"origins": ["https://other.example"]}}, "/v1/models", None),
    ],
)
async def test_preflight_and_answer_agree(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    tables: dict[str, dict[str, object]],
    path: str,
    allowed: str | None,
) -> None:
    """A preflight needs no key and never reaches LM Studio; the response after it grants the same."""
    gateway = await start_gateway(upstream.base_url, **tables)
    upstream.script = answer(extra="Access-Control-Allow-Origin: https://from-lm-studio.example\r\n")
    preflight = {**PREFLIGHT, "Access-Control-Request-Private-Network": "true"}
    async with gateway.client.options(gateway.url(path), headers=preflight) as response:
        assert response.status == 204
        assert response.headers.get("Access-Control-Allow-Origin") == allowed
        assert (response.headers.get("Access-Control-Allow-Private-Network") == "true") == (
            allowed is not None
        )
    assert not upstream.received
    async with gateway.client.get(
        gateway.url(path), headers={"X-API-Key": "a key", "Origin": PAGE}
    ) as response:
        assert response.headers.get("Access-Control-Allow-Origin") == allowed
        assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize(("sent", "kept"), [("abc-1.2:3_4", True), ("a b", False), ("x" * 200, False)])
async def test_every_answer_has_a_request_id(
    start_gateway: StartGateway, upstream: ScriptedUpstream, sent: str, kept: bool
) -> None:
    """A well-formed id of the client's is used; otherwise the gateway generates one, on errors too."""
    gateway = await start_gateway(upstream.base_url)
    upstream.script = answer(extra="X-Request-Id: lm-studio-s\r\n")
    async with raw_client(gateway.port) as client:
        for path in (b"/v1/models", b"/nope"):
            answered = await client.ask(request(b"GET " + path, b"X-Request-Id: " + sent.encode()))
            assert (answered.one("X-Request-Id") == sent) == kept
            assert kept or (answered.one("X-Request-Id") or "").startswith("req_")


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "access" in record.name]


async def test_access_line_has_client_request_and_status_but_no_secret(
    start_gateway: StartGateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for each request: no query, no key, no body."""
    caplog.set_level(logging.INFO)
    gateway = await start_gateway(upstream.base_url, **KEYED)
    headers = {"X-API-Key": "a key", "X-Request-Id": "id-1"}
    async with gateway.client.post(gateway.url("/v1/embeddings?secret=1"), data=b'"prompt"', headers=headers):
        pass
    # The client has its answer before the request has ended.
    await until(lambda: lines_of(caplog))
    (line,) = lines_of(caplog)
    assert line.startswith("127.0.0.1 owner POST /v1/embeddings 200 ")
    assert line.endswith(" ms id-1")
    for secret in ("secret", "a key", "prompt"):
        assert secret not in caplog.text


NAMED = "sk-lm-ABCDEFGH:abcdefghij0123456789"


@pytest.mark.parametrize("carrier", ["path", "id"])
@pytest.mark.parametrize(
    ("presented", "misplaced"),
    [("a key", "a%20key"), ("other-key", "other-key"), ("a key", NAMED), ("", NAMED)],
    ids=["the owner's", "a wrong one", "a named one", "a named one, of a stranger"],
)
async def test_key_in_the_wrong_place_is_not_quoted(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    caplog: pytest.LogCaptureFixture,
    carrier: str,
    presented: str,
    misplaced: str,
) -> None:
    """A key in the path or the request id is in no log line, event or response."""
    caplog.set_level(logging.INFO)
    gateway = await start_gateway(upstream.base_url, **KEYED)
    path = f"/v1/{misplaced}" if carrier == "path" else "/v1/models"
    headers = {"X-API-Key": presented, "X-Request-Id": misplaced if carrier == "id" else "x"}
    with gateway.app[EVENTS].subscribe() as subscription:
        async with gateway.client.get(gateway.url(path), headers=headers) as response:
            shown = f"{response.headers}{await response.text()}"
        async with gateway.client.get(gateway.url("/v1/models"), headers={"X-API-Key": "a key"}):
            batch = await subscription.next()
    assert batch is not None
    for secret in (misplaced, misplaced.replace("%20", " ")):
        assert secret not in f"{shown}{caplog.text}{batch.frames!r}"


@pytest.mark.parametrize(("tables", "name"), [(KEYED, "owner"), ({}, "anyone")])
async def test_events_name_the_callers_key(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    tables: dict[str, dict[str, object]],
    name: str,
) -> None:
    """An event says whose key the request used."""
    gateway = await start_gateway(upstream.base_url, **tables)
    with gateway.app[EVENTS].subscribe() as subscription:
        async with gateway.client.get(gateway.url("/v1/models"), headers={"X-API-Key": "a key"}) as response:
            await response.read()
        frames = b""
        while b"event: inference_complete" not in frames:
            batch = await asyncio.wait_for(subscription.next(), 5)
            assert batch is not None
            frames += batch.frames
    assert frames.count(f'"key":"{name}"'.encode()) == 2


async def test_a_key_in_a_body_goes_no_further(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """A key in the wrong field is neither stored nor quoted in the error."""
    gateway = await start_gateway(upstream.base_url, **KEYED)
    for key in ("a key", NAMED):
        async with gateway.client.post(
            gateway.url("/admin/models/activate"), json={"modelKey": key}, headers={"X-API-Key": "a key"}
        ) as response:
            assert response.status == 400
            assert key not in await response.text()
    assert gateway.app[ACTIVE_MODELS].current.active_model is None


async def test_an_undeclared_proxy_is_refused_in_protected_mode(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Behind an undeclared proxy on this machine, every client would seem to be on this machine."""
    gateway = await start_gateway(upstream.base_url)
    for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        async with gateway.client.get(gateway.url("/v1/models"), headers={name: "10.0.0.1"}) as response:
            assert response.status == 403
            assert "GATEWAY_API_KEY" in (await response.json())["error"]["message"]


async def test_vary_of_lm_studio_is_kept(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """Beside the gateway's own."""
    gateway = await start_gateway(upstream.base_url, cors={"origins": [PAGE]})
    upstream.script = answer(extra="Vary: Accept-Encoding\r\n")
    async with gateway.client.get(gateway.url("/v1/models"), headers={"Origin": PAGE}) as response:
        assert response.headers.getall("Vary") == ["Accept-Encoding", "Origin"]


async def test_a_client_that_left_has_an_access_line(
    start_gateway: StartGateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """Its status is 499."""
    caplog.set_level(logging.INFO)
    gateway = await start_gateway(upstream.base_url)
    upstream.script = silent
    async with raw_client(gateway.port) as client:
        await client.send(request(b"GET /v1/models"))
        await asyncio.wait_for(upstream.arrivals.get(), 5)
        client.hang_up()
        await asyncio.wait_for(upstream.gone.get(), 5)
    assert "GET /v1/models 499" in caplog.text


async def test_unforeseen_failure_names_no_internals_in_production(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A fault of the gateway is a 500 whose id is in the log; the exception is named only in development."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("internals")

    monkeypatch.setattr("lmgateway.models.lifecycle.ModelLifecycle.activate", broken)
    for environment, told in [("production", False), ("development", True)]:
        gateway = await start_gateway(upstream.base_url, environment=environment)
        async with gateway.client.post(
            gateway.url("/admin/models/activate"), json={"modelKey": "m"}
        ) as response:
            assert response.status == 500
            assert ("internals" in await response.text()) == told
            assert "Traceback" not in await response.text()
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("tables", "path", "origin", "shown"),
    [
        pytest.param({}, "/v1/chat/completions", "app://obsidian.md", "app://obsidian.md", id="an app"),
        pytest.param(KEYED, "/admin/models", PAGE, PAGE, id="a page at /admin"),
        pytest.param(
            {}, "/v1/models", "https://e\u202evil", "https://e\\u202evil", id="what acts on a terminal"
        ),
    ],
)
async def test_a_page_that_was_refused_is_in_the_log(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    caplog: pytest.LogCaptureFixture,
    tables: dict[str, dict[str, object]],
    path: str,
    origin: str,
    shown: str,
) -> None:
    """A browser doesn't show its user why a page was refused."""
    caplog.set_level(logging.INFO, "lmgateway")
    gateway = await start_gateway(upstream.base_url, **tables)
    async with raw_client(gateway.port) as client:
        lines = (f"Origin: {origin}".encode(), b"Access-Control-Request-Method: POST")
        answered = await client.ask(request(f"OPTIONS {path}".encode(), *lines))
    assert (answered.status, answered.one("Access-Control-Allow-Origin")) == (204, None)
    assert f"127.0.0.1: a page of {shown} was refused; add its origin to cors.origins" in caplog.text
    await until(lambda: f"OPTIONS {path} 204 (page_refused)" in caplog.text)
