"""/admin/keys: making, reading, changing, rotating and revoking keys."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lmgateway.web.state import EVENTS, KEYS
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.keys import OWNER, call, make_key
from tests.support.upstream import ScriptedUpstream
from tests.support.waiting import PATIENCE_SECONDS, until

FORM = re.compile(r"sk-lm-[A-Za-z0-9]{8}:[A-Za-z0-9]{20}", re.ASCII)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
# Every setting, as the table of the fields writes it.
FULL = {
    "scopes": ["inference", "tools", "models", "observe", "log", "admin"],
    "models": ["qwen*", "llama-?b"],
    "addresses": ["10.9.8.7", "fd00::/64"],
    "share": 2.5,
    "class": "background",
    "model": "qwen3",
    "defaultInference": {"temperature": 0.2, "maxTokens": 100, "stopStrings": ["\n"]},
    "userHeader": "X-User",
    "limits": {"running": 1, "requestsPerMinute": 2, "tokensPerMinute": 3, "tokensPerDay": 4},
    "note": "the kitchen's tablet",
    "expiresAt": "2999-01-01T00:00:00.000Z",
}
DEFAULTS = {
    "scopes": ["inference"],
    "models": ["*"],
    "addresses": [],
    "share": 1.0,
    "class": "interactive",
    "limits": {},
}


@pytest.fixture
async def gateway(start_gateway: StartGateway, upstream: ScriptedUpstream) -> Gateway:
    return await start_gateway(upstream.base_url, auth={"api_key": OWNER})


def settings_of(key: dict[str, Any]) -> dict[str, Any]:
    """Without what the gateway adds."""
    return {
        name: value
        for name, value in key.items()
        if name not in {"name", "id", "key", "createdAt", "lastUsedAt", "recentAddresses"}
    }


async def test_a_key_is_made_with_its_defaults(gateway: Gateway) -> None:
    """Its secret has the form that LM Studio's SDKs accept, and its id is the first part."""
    began = time.time()
    made = await call(gateway, "POST", "/admin/keys", {"name": "anna"})
    assert made.status == 201
    assert FORM.fullmatch(made.body["key"])
    assert made.body["id"] == made.body["key"][6:14]
    assert TIME.fullmatch(made.body["createdAt"])
    assert abs(datetime.fromisoformat(made.body["createdAt"]).timestamp() - began) < 60
    assert (made.body["name"], settings_of(made.body)) == ("anna", DEFAULTS)
    assert "lastUsedAt" not in made.body


async def test_every_setting_is_kept(gateway: Gateway) -> None:
    """As it was written; the secret is in no other answer."""
    made = await call(gateway, "POST", "/admin/keys", {"name": "a.b-c_9", **FULL})
    assert (made.status, settings_of(made.body)) == (201, FULL)
    read = await call(gateway, "GET", "/admin/keys/a.b-c_9")
    assert read.status == 200
    assert read.body == {name: value for name, value in made.body.items() if name != "key"}
    listed = await call(gateway, "GET", "/admin/keys")
    assert (listed.status, listed.body) == (200, {"keys": [read.body]})


async def test_null_means_absent_in_a_new_key(gateway: Gateway) -> None:
    body = {"name": "a", **dict.fromkeys(FULL), "limits": {"running": None, "tokensPerDay": 5}}
    made = await call(gateway, "POST", "/admin/keys", body)
    assert settings_of(made.body) == {**DEFAULTS, "limits": {"tokensPerDay": 5}}


async def test_keys_are_listed_by_name(gateway: Gateway) -> None:
    """Also after changes."""
    for name in ("c", "a", "b"):
        await make_key(gateway, name)
    await call(gateway, "PATCH", "/admin/keys/a", {"note": "x"})
    listed = await call(gateway, "GET", "/admin/keys")
    assert [key["name"] for key in listed.body["keys"]] == ["a", "b", "c"]


async def test_a_taken_name_is_409(gateway: Gateway) -> None:
    await make_key(gateway, "a", note="the first")
    assert (await call(gateway, "POST", "/admin/keys", {"name": "a"})).status == 409
    assert (await call(gateway, "GET", "/admin/keys/a")).body["note"] == "the first"


async def test_of_50_at_once_one_makes_the_key(gateway: Gateway) -> None:
    """And that one's secret opens."""
    body = {"name": "a"}
    made = await asyncio.gather(*(call(gateway, "POST", "/admin/keys", body) for _ in range(50)))
    assert Counter(one.status for one in made) == {201: 1, 409: 49}
    [secret] = [one.body["key"] for one in made if one.status == 201]
    assert (await call(gateway, "GET", "/v1/models", key=secret)).status == 200
    assert len((await call(gateway, "GET", "/admin/keys")).body["keys"]) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/admin/keys/nobody"),
        ("PATCH", "/admin/keys/nobody"),
        ("DELETE", "/admin/keys/nobody"),
        ("POST", "/admin/keys/nobody/rotate"),
        ("GET", "/admin/keys/%2e%2e"),
        ("DELETE", "/admin/keys/owner"),
        ("POST", "/admin/keys/anyone/rotate"),
    ],
)
async def test_an_unknown_key_is_404(gateway: Gateway, method: str, path: str) -> None:
    await make_key(gateway, "a")
    body = {} if method in {"PATCH", "POST"} else None
    reply = await call(gateway, method, path, body)
    assert (reply.status, "There is no key" in reply.body["error"]) == (404, True)


async def test_a_key_is_used_at_once(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """In either header; lastUsedAt and the number of addresses follow."""
    key = await make_key(gateway, "a")
    assert (await call(gateway, "GET", "/v1/models", key=key)).status == 200
    assert (await call(gateway, "GET", "/v1/models", key=None, x_api_key=key)).status == 200
    assert [key in str(vars(one)) for one in upstream.received] == [False, False]
    read = (await call(gateway, "GET", "/admin/keys/a")).body
    assert TIME.fullmatch(read["lastUsedAt"])
    assert read["recentAddresses"] == 1


# RFC 7396, appendix A, where its values are those of a key's fields.
MERGES = [
    pytest.param({"note": "b"}, {"note": "c"}, {"note": "c"}, id="a value is replaced"),
    pytest.param({"note": "b"}, {"userHeader": "X"}, {"note": "b", "userHeader": "X"}, id="one is added"),
    pytest.param({"note": "b"}, {"note": None}, {}, id="null removes"),
    pytest.param(
        {"note": "b", "userHeader": "X"}, {"note": None}, {"userHeader": "X"}, id="null removes no other"
    ),
    pytest.param({"models": ["b"]}, {"models": ["c"]}, {"models": ["c"]}, id="an array is replaced"),
    pytest.param({"models": ["a", "b"]}, {"models": ["c"]}, {"models": ["c"]}, id="as a whole"),
    pytest.param(
        {"limits": {"running": 1}},
        {"limits": {"tokensPerDay": 2, "requestsPerMinute": None}},
        {"limits": {"running": 1, "tokensPerDay": 2}},
        id="an object is merged",
    ),
    pytest.param({"limits": {"running": 1}}, {"limits": {"running": None}}, {}, id="down to its members"),
    pytest.param(
        {},
        {"defaultInference": {"temperature": 0.5, "topP": None}},
        {"defaultInference": {"temperature": 0.5}},
        id="a new object without its nulls",
    ),
    pytest.param(
        {"defaultInference": {"temperature": 0.5, "topP": 1}},
        {"defaultInference": {"temperature": None, "maxTokens": 3}},
        {"defaultInference": {"topP": 1, "maxTokens": 3}},
        id="both at once",
    ),
    pytest.param({"note": "b"}, {}, {"note": "b"}, id="nothing"),
    pytest.param(FULL, dict.fromkeys(FULL), {}, id="null puts everything back to its default"),
]


@pytest.mark.parametrize(("before", "patch", "after"), MERGES)
@pytest.mark.parametrize("media_type", ["application/json", "application/merge-patch+json"])
async def test_a_patch_is_a_merge_patch(
    gateway: Gateway, before: Any, patch: Any, after: Any, media_type: str
) -> None:
    """RFC 7396; the answer is the key after it."""
    await make_key(gateway, "a", **before)
    changed = await call(gateway, "PATCH", "/admin/keys/a", patch, content_type=media_type)
    assert changed.status == 200
    assert settings_of(changed.body) == {**DEFAULTS, **after}
    assert (await call(gateway, "GET", "/admin/keys/a")).body == changed.body


async def test_what_is_read_and_sent_back_changes_nothing(gateway: Gateway) -> None:
    """Also by the key itself, which was used meanwhile."""
    key = await make_key(gateway, "a", **FULL)
    read = (await call(gateway, "GET", "/admin/keys/a", key=key)).body
    for body in (read, {**read, "lastUsedAt": "2020-01-01T00:00:00.000Z", "recentAddresses": 99}):
        changed = await call(gateway, "PATCH", "/admin/keys/a", body, key=key)
        assert changed.status == 200, changed.body
        assert changed.body["lastUsedAt"] >= read["lastUsedAt"]
        assert settings_of(changed.body) == FULL
        assert (changed.body["id"], changed.body["createdAt"]) == (read["id"], read["createdAt"])


@pytest.mark.parametrize(
    ("patch", "paths"),
    [
        ({"name": "b"}, ["name"]),
        ({"name": None}, ["name"]),
        ({"id": "ABCDEFGH"}, ["id"]),
        ({"createdAt": "2020-01-01T00:00:00.000Z"}, ["createdAt"]),
        ({"name": "b", "id": None}, ["id", "name"]),
        ({"key": "something"}, ["key"]),
    ],
)
async def test_what_cant_be_changed_is_400(gateway: Gateway, patch: Any, paths: list[str]) -> None:
    """With its path, and the rest of the patch isn't applied."""
    await make_key(gateway, "a")
    changed = await call(gateway, "PATCH", "/admin/keys/a", {**patch, "note": "x"})
    assert (changed.status, changed.paths) == (400, paths)
    assert "note" not in (await call(gateway, "GET", "/admin/keys/a")).body


async def test_a_change_is_in_force_for_the_next_request(gateway: Gateway) -> None:
    key = await make_key(gateway, "a")
    for scopes, status in ((["inference"], 403), (["observe"], 200), (None, 403), (["admin"], 200)):
        await call(gateway, "PATCH", "/admin/keys/a", {"scopes": scopes})
        assert (await call(gateway, "GET", "/debug/status", key=key)).status == status


async def test_a_rotation_replaces_the_secret(gateway: Gateway) -> None:
    """The former one is refused at once, everything else stays, and the name is the same."""
    former = await make_key(gateway, "a", **FULL)
    rotated = await call(gateway, "POST", "/admin/keys/a/rotate", {})
    assert rotated.status == 200
    assert FORM.fullmatch(rotated.body["key"])
    assert settings_of(rotated.body) == FULL
    assert rotated.body["id"] == rotated.body["key"][6:14] != former[6:14]
    assert [
        (await call(gateway, "GET", "/admin/keys/self", key=each)).status
        for each in (former, rotated.body["key"])
    ] == [401, 200]


async def test_with_grace_both_are_good_until_the_next_rotation(gateway: Gateway) -> None:
    """Which ends the older one, whatever its grace, and null is no grace."""
    secrets = [await make_key(gateway, "a")]
    seen = []
    for grace in (1000, 1000, None, 0):
        rotated = await call(gateway, "POST", "/admin/keys/a/rotate", {"graceSeconds": grace})
        secrets.append(rotated.body["key"])
        seen.append([(await call(gateway, "GET", "/admin/keys/self", key=each)).status for each in secrets])
    assert seen == [[200, 200], [401, 200, 200], [401, 401, 401, 200], [401, 401, 401, 401, 200]]


async def test_a_revoked_key_is_refused_and_gone(gateway: Gateway) -> None:
    """Its name may be used again, for another key."""
    key = await make_key(gateway, "a")
    revoked = await call(gateway, "DELETE", "/admin/keys/a")
    assert (revoked.status, revoked.body) == (200, {"status": "revoked", "name": "a"})
    assert (await call(gateway, "GET", "/v1/models", key=key)).status == 401
    assert (await call(gateway, "DELETE", "/admin/keys/a")).status == 404
    assert (await call(gateway, "GET", "/admin/keys")).body == {"keys": []}
    assert await make_key(gateway, "a") != key
    assert "lastUsedAt" not in (await call(gateway, "GET", "/admin/keys/a")).body


@pytest.mark.parametrize("by", ["key", "address"])
async def test_a_key_that_changes_itself_gets_the_answer(gateway: Gateway, by: str) -> None:
    """The new secret of a rotation would be lost otherwise."""
    addresses = ["127.0.0.1"] if by == "address" else []
    key: str | None = await make_key(gateway, "a", scopes=["admin"], addresses=addresses)
    key = None if by == "address" else key
    rotated = await call(gateway, "POST", "/admin/keys/a/rotate", {}, key=key)
    assert rotated.status == 200
    key = None if by == "address" else rotated.body["key"]
    assert (await call(gateway, "GET", "/admin/keys", key=key)).status == 200
    assert (await call(gateway, "PATCH", "/admin/keys/a", {"note": "x"}, key=key)).status == 200
    assert (await call(gateway, "DELETE", "/admin/keys/a", key=key)).body["status"] == "revoked"
    assert (await call(gateway, "GET", "/admin/keys", key=key)).status == 401


async def test_a_caller_by_address_makes_keys(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """It has all rights of its key, also from another machine and through a proxy."""
    network = {"trusted_proxies": ["127.0.0.1"]}
    gateway = await start_gateway(upstream.base_url, auth={"api_key": OWNER}, network=network)
    await make_key(gateway, "boss", scopes=["admin"], addresses=["10.0.0.1"])
    made = await call(gateway, "POST", "/admin/keys", {"name": "other"}, key=None, x_forwarded_for="10.0.0.1")
    assert made.status == 201
    assert (await call(gateway, "GET", "/v1/models", key=made.body["key"])).status == 200


async def test_a_revoked_admins_waiting_changes_are_not_made(gateway: Gateway, tmp_path: Path) -> None:
    """A thief's calls wait for the disk behind the revocation of the stolen key."""
    stolen = await make_key(gateway, "stolen", scopes=["admin"])
    await make_key(gateway, "anna")
    keys = gateway.app[KEYS]
    changes = [
        ("POST", "/admin/keys", {"name": "thief", "scopes": ["admin"]}),
        ("PATCH", "/admin/keys/anna", {"scopes": ["admin"]}),
        ("POST", "/admin/keys/anna/rotate", {}),
        ("DELETE", "/admin/keys/anna", None),
    ]
    with closing(sqlite3.connect(tmp_path / "state" / "lmgateway.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        revoking = asyncio.create_task(call(gateway, "DELETE", "/admin/keys/stolen"))
        await until(lambda: len(keys._changes._running) == 1)
        waiting = [asyncio.create_task(call(gateway, *change, key=stolen)) for change in changes]
        await until(lambda: len(keys._changes._running) == 1 + len(changes))
    assert (await revoking).status == 200
    assert [(await each).status for each in waiting] == [401] * len(changes)
    [anna] = (await call(gateway, "GET", "/admin/keys")).body["keys"]
    assert (anna["name"], anna["scopes"]) == ("anna", ["inference"])


async def test_each_change_is_an_event(gateway: Gateway) -> None:
    """With the name of the key and what was done; a refused change is none."""
    with gateway.app[EVENTS].subscribe(["key_changed"]) as subscription:
        await make_key(gateway, "a")
        await call(gateway, "POST", "/admin/keys", {"name": "a"})
        await call(gateway, "PATCH", "/admin/keys/a", {"note": "x"})
        await call(gateway, "PATCH", "/admin/keys/a", {"share": 0})
        await call(gateway, "POST", "/admin/keys/a/rotate", {"graceSeconds": 5})
        await call(gateway, "DELETE", "/admin/keys/a")
        text = b""
        while b"revoked" not in text:
            batch = await asyncio.wait_for(subscription.next(), PATIENCE_SECONDS)
            assert batch is not None
            text += batch.frames
    seen = re.findall(rb'event: key_changed\ndata: \{"timestamp":"[^"]+","key":"a","change":"(\w+)"\}', text)
    assert seen == [b"made", b"changed", b"rotated", b"revoked"]


async def test_the_name_is_in_the_log_and_the_events(
    gateway: Gateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a request did; the id and the secret aren't."""
    caplog.set_level("DEBUG")
    key = await make_key(gateway, "kitchen", scopes=["inference", "observe"])
    await call(gateway, "POST", "/v1/chat/completions", {"model": "m", "messages": []}, key=key)
    replayed = await events_since_the_start(gateway, key)
    assert '"key":"kitchen"' in replayed
    line = next(text for text in caplog.messages if "POST /v1/chat/completions" in text)
    assert line.split()[1] == "kitchen"
    for text in (caplog.text, replayed):
        assert key[6:14] not in text
        assert key[-20:] not in text


async def events_since_the_start(gateway: Gateway, key: str) -> str:
    headers = {"Authorization": f"Bearer {key}", "Last-Event-ID": "0"}
    url = gateway.url("/debug/stream")
    async with gateway.client.get(url, headers=headers) as response, asyncio.timeout(PATIENCE_SECONDS):
        text = ""
        while "inference_complete" not in text:
            text += (await response.content.readany()).decode()
        return text


async def test_keys_outlive_a_restart(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """With their settings, a grace that isn't over, and their last use."""
    gateway = await start_gateway(upstream.base_url, auth={"api_key": OWNER})
    former = await make_key(gateway, "a", **FULL)
    await call(gateway, "GET", "/admin/keys/self", key=former)
    rotated = (await call(gateway, "POST", "/admin/keys/a/rotate", {"graceSeconds": 1000})).body["key"]
    revoked = await make_key(gateway, "b")
    await call(gateway, "DELETE", "/admin/keys/b")
    before = (await call(gateway, "GET", "/admin/keys")).body
    await gateway.app[KEYS]._save_uses(all_of_them=True)
    again = await start_gateway(upstream.base_url)
    after = (await call(again, "GET", "/admin/keys", key=rotated)).body
    for listed in (before, after):
        for key in listed["keys"]:
            key.pop("recentAddresses")
    before["keys"][0]["lastUsedAt"] = after["keys"][0]["lastUsedAt"] = "used"
    assert after == before
    statuses = [
        (await call(again, "GET", "/admin/keys/self", key=key)).status for key in (former, rotated, revoked)
    ]
    assert statuses == [200, 200, 401]


async def test_a_request_costs_one_hash_and_one_comparison(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On its whole way through the gateway, also with header fields that weren't seen before."""
    key = await make_key(gateway, "anna")
    await make_key(gateway, "ben")
    calls = []
    for module, name in ((hashlib, "sha256"), (hmac, "compare_digest")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, partial(counted, calls, name, real))
    for number, (sent, status) in enumerate([(key, 200), (OWNER, 200), (f"{key[:-1]}!", 401), ("x", 401)]):
        calls.clear()
        reply = await call(gateway, "GET", "/v1/models", key=sent, x_number=str(number))
        assert (reply.status, sorted(calls)) == (status, ["compare_digest", "sha256"])


def counted(calls: list[str], name: str, real: Callable[..., object], *arguments: Any) -> object:
    calls.append(name)
    return real(*arguments)
