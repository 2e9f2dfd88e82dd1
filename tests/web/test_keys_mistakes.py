"""Bodies of /admin/keys that are refused: each mistake with its path, and nothing is changed."""

from __future__ import annotations

import pytest

from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.keys import OWNER, Reply, call, make_key
from tests.support.upstream import ScriptedUpstream


@pytest.fixture
async def gateway(start_gateway: StartGateway, upstream: ScriptedUpstream) -> Gateway:
    return await start_gateway(upstream.base_url, auth={"api_key": OWNER})


NAMES = [
    "",
    "A",
    "ä",
    "a b",
    "-a",
    ".a",
    "_a",
    "a/b",
    "a\n",
    "a" * 65,
    "..",
    "owner",
    "anyone",
    "self",
    1,
    [],
    {},
]
SETTINGS = [
    ("scopes", ["everything"], "scopes[0]"),
    ("scopes", ["inference", "Admin"], "scopes[1]"),
    ("scopes", "admin", "scopes"),
    ("scopes", [1], "scopes[0]"),
    ("models", [], "models"),
    ("models", "qwen*", "models"),
    ("models", [""], "models[0]"),
    ("models", ["a", " b"], "models[1]"),
    ("models", ["x" * 257], "models[0]"),
    ("models", ["a"] * 101, "models"),
    ("addresses", ["10.0.0.300"], "addresses[0]"),
    ("addresses", ["::1", "10.0.0.0/33"], "addresses[1]"),
    ("addresses", "10.0.0.1", "addresses"),
    ("addresses", ["*"], "addresses[0]"),
    ("addresses", ["example.com"], "addresses[0]"),
    ("share", 0.09, "share"),
    ("share", 100.1, "share"),
    ("share", 0, "share"),
    ("share", -1, "share"),
    ("share", "1", "share"),
    ("share", True, "share"),
    ("class", "urgent", "class"),
    ("class", 1, "class"),
    ("model", "", "model"),
    ("model", 3, "model"),
    ("defaultInference", {"temperature": 2.1}, "defaultInference.temperature"),
    ("defaultInference", {"topP": -0.1}, "defaultInference.topP"),
    ("defaultInference", {"temprature": 1}, "defaultInference.temprature"),
    ("defaultInference", [], "defaultInference"),
    ("userHeader", "X User", "userHeader"),
    ("userHeader", "", "userHeader"),
    ("userHeader", "X:", "userHeader"),
    ("userHeader", "authorization", "userHeader"),
    ("limits", {"running": 0}, "limits.running"),
    ("limits", {"requestsPerMinute": -1}, "limits.requestsPerMinute"),
    ("limits", {"tokensPerMinute": 1.5}, "limits.tokensPerMinute"),
    ("limits", {"tokensPerDay": "many"}, "limits.tokensPerDay"),
    ("limits", {"tokensPerHour": 1}, "limits.tokensPerHour"),
    ("limits", {"running": True}, "limits.running"),
    ("limits", {"running": 10**400}, "limits.running"),
    ("limits", 5, "limits"),
    ("note", "x" * 1001, "note"),
    ("note", 1, "note"),
    ("expiresAt", "2020-01-01", "expiresAt"),
    ("expiresAt", "tomorrow", "expiresAt"),
    ("expiresAt", "2027-13-01", "expiresAt"),
    ("expiresAt", "9999-12-31T23:59:59-12:00", "expiresAt"),
    ("expiresAt", 1_900_000_000, "expiresAt"),
    ("scope", ["inference"], "scope"),
    ("sharE", 1, "sharE"),
]


def assert_refused(reply: Reply, *paths: str) -> None:
    assert (reply.status, reply.body["error"]) == (400, "Validation failed")
    assert reply.paths == [*paths]
    assert all(mistake["message"] for mistake in reply.body["details"])


async def test_bad_names(gateway: Gateway) -> None:
    for body in ({}, {"name": None}, *({"name": name} for name in NAMES)):
        assert_refused(await call(gateway, "POST", "/admin/keys", body), "name")
    assert (await call(gateway, "GET", "/admin/keys")).body == {"keys": []}


async def test_bad_settings(gateway: Gateway) -> None:
    """The same in a new key and in a changed one."""
    await make_key(gateway, "a")
    before = (await call(gateway, "GET", "/admin/keys")).body
    for field, value, path in SETTINGS:
        for reply in (
            await call(gateway, "POST", "/admin/keys", {"name": "b", field: value}),
            await call(gateway, "PATCH", "/admin/keys/a", {field: value}),
        ):
            assert reply.status == 400, (field, value)
            assert reply.paths == [path], (field, value)
    assert (await call(gateway, "GET", "/admin/keys")).body == before


async def test_all_mistakes_at_once(gateway: Gateway) -> None:
    body = {"name": "A", "share": 0, "limits": {"running": 0}, "clas": "x"}
    reply = await call(gateway, "POST", "/admin/keys", body)
    assert sorted(reply.paths) == ["clas", "limits.running", "name", "share"]
    reply = await call(
        gateway,
        "POST",
        "/admin/keys",
        {"name": "a", "models": [" a"], "model": "b", "expiresAt": "1999-01-01"},
    )
    assert sorted(reply.paths) == ["expiresAt", "model", "models[0]"]


async def test_a_default_model_outside_the_globs(gateway: Gateway) -> None:
    """Also if the globs are changed to leave it out, which the whole key decides."""
    assert_refused(
        await call(gateway, "POST", "/admin/keys", {"name": "a", "models": ["qwen*"], "model": "llama"}),
        "model",
    )
    await make_key(gateway, "a", models=["qwen*"], model="qwen3")
    assert_refused(await call(gateway, "PATCH", "/admin/keys/a", {"models": ["llama*"]}), "model")
    both = {"models": ["llama*"], "model": "llama-1"}
    assert (await call(gateway, "PATCH", "/admin/keys/a", both)).status == 200


async def test_a_bad_grace(gateway: Gateway) -> None:
    """The secret stays."""
    key = await make_key(gateway, "a")
    for grace in (-1, "60", 10**10, True, []):
        reply = await call(gateway, "POST", "/admin/keys/a/rotate", {"graceSeconds": grace})
        assert_refused(reply, "graceSeconds")
    assert (await call(gateway, "GET", "/v1/models", key=key)).status == 200


NO_KEYS = [
    (b"[]", "application/json", 400),
    (b'"x"', "application/json", 400),
    (b"null", "application/json", 400),
    (b'[{"name": "a"}]', "application/json", 400),
    (b"{", "application/json", 400),
    (b"", "application/json", 400),
    (b'{"name": "a", "note": "\\ud800"}', "application/json", 400),
    (b'{"name": "a", "share": NaN}', "application/json", 400),
    (b"[" * 10_000, "application/json", 400),
    (b'{"name": "a", "note": "' + b"x" * 2**17 + b'"}', "application/json", 413),
    (b'{"name": "a"}', "text/plain", 415),
    (b'{"name": "a"}', "application/x-www-form-urlencoded", 415),
    (b'{"name": "a"}', "application/merge-patch+json", 415),
]


async def test_a_body_that_is_no_key(gateway: Gateway) -> None:
    """No page's form can send the type that is needed."""
    for data, media_type, status in NO_KEYS:
        headers = {"Authorization": f"Bearer {OWNER}", "Content-Type": media_type}
        url = gateway.url("/admin/keys")
        async with gateway.client.post(url, headers=headers, data=data) as response:
            assert response.status == status, data[:50]
            assert (await response.json())["error"]
    assert (await call(gateway, "GET", "/admin/keys")).body == {"keys": []}


async def test_no_field_holds_a_key(gateway: Gateway) -> None:
    """It would be shown to everybody who may list the keys; the refusal doesn't repeat it."""
    key = await make_key(gateway, "a", scopes=["admin"])
    for text in (key, f"x {OWNER} y", f"see{key}"):
        for body in (
            {"name": "b", "note": text},
            {"name": "b", "models": ["x", text]},
            {"name": text},
            {"name": "b", text: 1},
            {"name": "b", "defaultInference": {"stopStrings": [text]}},
        ):
            reply = await call(gateway, "POST", "/admin/keys", body, key=key)
            assert reply.status == 400
            assert text not in str(reply.body)
            assert text[-20:] not in str(reply.body)
    assert (await call(gateway, "PATCH", "/admin/keys/a", {"note": key})).status == 400


async def test_an_expired_key_can_be_changed(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays expired until it gets another time, and then opens again."""
    key = await make_key(gateway, "a", expiresAt="2999-01-01")
    later = 33_000_000_000.0  # in the year 3015
    for module in ("access.callers", "access.keys", "web.keys"):
        monkeypatch.setattr(f"lmgateway.{module}.unix_time", lambda: later)
    read = (await call(gateway, "GET", "/admin/keys/a")).body
    assert (await call(gateway, "GET", "/v1/models", key=key)).status == 401
    assert (await call(gateway, "PATCH", "/admin/keys/a", read)).status == 200
    assert (await call(gateway, "PATCH", "/admin/keys/a", {"note": "x"})).status == 200
    assert_refused(await call(gateway, "PATCH", "/admin/keys/a", {"expiresAt": "2998-01-01"}), "expiresAt")
    assert (await call(gateway, "GET", "/v1/models", key=key)).status == 401
    assert (await call(gateway, "PATCH", "/admin/keys/a", {"expiresAt": None})).status == 200
    assert (await call(gateway, "GET", "/v1/models", key=key)).status == 200
