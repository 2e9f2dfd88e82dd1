"""Named keys, and a database that can't be read, or can't be written."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lmgateway.web.state import DATABASE
from tests.access.making import many
from tests.conftest import StartGateway
from tests.support.clock import Clock
from tests.support.gateway import Gateway
from tests.support.keys import OWNER, Reply, call, make_key
from tests.support.process import run
from tests.support.processor import processor_seconds
from tests.support.upstream import ScriptedUpstream

from .conftest import Mount, warnings
from .test_keys_kill import keys_in

NAME = "lmgateway.db"
ADMIN = {"name": "boss", "scopes": ["admin"]}
WITH_OWNER = {"auth": {"api_key": OWNER}}
GARBAGE = b"this isn't a database" * 1000


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@contextmanager
def database(state: Path) -> Iterator[sqlite3.Connection]:
    """The gateway's database, as another program opens it."""
    with closing(sqlite3.connect(state / NAME, isolation_level=None)) as connection:
        yield connection


def assert_unreadable(reply: Reply) -> None:
    assert reply.status == 503
    assert reply.headers["X-Refused-Reason"] == "keys_unreadable"
    assert 1 <= int(reply.headers["Retry-After"]) <= 30


SHAPES: list[tuple[str, Callable[[Any], object], object]] = [
    ("/admin/keys", lambda body: isinstance(body["error"], str), True),
    ("/debug/status", lambda body: isinstance(body["error"], str), True),
    ("/v1/models", lambda body: body["error"]["code"], "keys_unreadable"),
    ("/api/v0/models", lambda body: body["error"]["code"], "keys_unreadable"),
    ("/v1/messages", lambda body: body["error"]["type"], "overloaded_error"),
]


async def test_after_a_damaged_database_only_the_owner_is_let_in(
    start_gateway: StartGateway, upstream: ScriptedUpstream, state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Others get a 503 in their path's shape, with and without a key; the damaged file is kept as it is."""
    (state / NAME).write_bytes(GARBAGE)
    gateway = await start_gateway(upstream.base_url, **WITH_OWNER)
    for path, part, expected in SHAPES:
        for key in (None, "wrong", "sk-lm-ABCDEFGH:abcdefghij0123456789"):
            reply = await call(gateway, "GET", path, key=key)
            assert_unreadable(reply)
            assert part(reply.body) == expected
        assert (await call(gateway, "GET", path)).status == 200
    assert (await call(gateway, "GET", "/health", key=None)).status == 200
    [renamed] = [path for path in state.iterdir() if path.name.endswith(".broken")]
    assert renamed.read_bytes() == GARBAGE
    assert any("keys can't be read" in warning for warning in warnings(caplog))


async def test_a_key_that_the_owner_makes_ends_it(
    start_gateway: StartGateway, upstream: ScriptedUpstream, state: Path
) -> None:
    """Then a wrong key is a wrong key, also after a restart, though the damaged file still lies there."""
    (state / NAME).write_bytes(GARBAGE)
    gateway = await start_gateway(upstream.base_url, **WITH_OWNER)
    key = await make_key(gateway, "anna")
    for each in (gateway, await start_gateway(upstream.base_url, **WITH_OWNER)):
        assert (await call(each, "GET", "/v1/models", key=key)).status == 200
        for wrong in (None, "wrong"):
            assert (await call(each, "GET", "/v1/models", key=wrong)).status == 401


async def test_a_restart_alone_doesnt_end_it(
    start_gateway: StartGateway, upstream: ScriptedUpstream, state: Path
) -> None:
    """But the damaged file's removal and a restart do."""
    (state / NAME).write_bytes(GARBAGE)
    for _ in range(2):
        gateway = await start_gateway(upstream.base_url, **WITH_OWNER)
        assert_unreadable(await call(gateway, "GET", "/v1/models", key=None))
    for path in state.glob("*.broken"):
        path.unlink()
    gateway = await start_gateway(upstream.base_url, **WITH_OWNER)
    assert (await call(gateway, "GET", "/v1/models", key=None)).status == 401


async def test_without_an_owner_nobody_is_let_in(
    start_gateway: StartGateway, upstream: ScriptedUpstream, state: Path
) -> None:
    """Nobody makes a first key either: the keys that can't be read may be somebody's."""
    (state / NAME).write_bytes(GARBAGE)
    gateway = await start_gateway(upstream.base_url)
    for path, *_ in SHAPES:
        assert_unreadable(await call(gateway, "GET", path, key=None))
    assert_unreadable(await call(gateway, "POST", "/admin/keys", ADMIN, key=None))
    assert not upstream.received


async def test_a_table_of_keys_that_cant_be_read(
    start_gateway: StartGateway, upstream: ScriptedUpstream, state: Path
) -> None:
    """The gateway starts, for its owner."""
    await start_gateway(upstream.base_url, **WITH_OWNER)
    with database(state) as connection:
        connection.execute("DROP TABLE keys")
    gateway = await start_gateway(upstream.base_url, **WITH_OWNER)
    assert_unreadable(await call(gateway, "GET", "/v1/models", key=None))
    assert (await call(gateway, "GET", "/v1/models")).status == 200


def changed(field: str, value: str) -> str:
    return f"UPDATE keys SET key = json_set(key, '$.{field}', {value}) WHERE name = 'bad'"


DAMAGES = {
    "no JSON": "UPDATE keys SET key = 'nonsense' WHERE name = 'bad'",
    "empty": "UPDATE keys SET key = '' WHERE name = 'bad'",
    "not UTF-8": "UPDATE keys SET key = CAST(X'ff80' AS TEXT) WHERE name = 'bad'",
    "bytes": "UPDATE keys SET key = X'ff80' WHERE name = 'bad'",
    "a number": "UPDATE keys SET key = 7 WHERE name = 'bad'",
    "an unknown scope": changed("settings.scopes", "json('[\"root\"]')"),
    "a share out of range": changed("settings.share", "0"),
    "an address that is none": changed("settings.addresses", "json('[\"nowhere\"]')"),
    "a digest that is none": changed("secret.digest", "5"),
    "no secret": "UPDATE keys SET key = json_remove(key, '$.secret') WHERE name = 'bad'",
    "a time after the last year": changed("created", "1e300"),
    "another key's name": changed("name", "'other'"),
    "a name that is not UTF-8": "UPDATE keys SET name = CAST(X'626164ff' AS TEXT) WHERE name = 'bad'",
    "renamed": "UPDATE keys SET name = 'owner' WHERE name = 'bad'",
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_key_that_cant_be_decoded_is_refused(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    state: Path,
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    """It spoils no other key, and no request; a new key of its name takes its place."""
    before = await start_gateway(upstream.base_url, **WITH_OWNER)
    good, bad = await make_key(before, "good"), await make_key(before, "bad", addresses=["127.0.0.7"])
    with database(state) as connection:
        connection.execute(DAMAGES[damage])
    gateway = await start_gateway(upstream.base_url, **WITH_OWNER)
    listed = await call(gateway, "GET", "/admin/keys")
    assert [key["name"] for key in listed.body["keys"]] == ["good"]
    statuses = [(await call(gateway, "GET", "/v1/models", key=key)).status for key in (good, bad, None)]
    assert statuses == [200, 401, 401]
    assert any("can't be decoded" in warning for warning in warnings(caplog))
    assert bad[-20:] not in caplog.text
    new = await make_key(gateway, "bad")
    assert (await call(gateway, "GET", "/v1/models", key=new)).status == 200


async def test_undecodable_keys_alone_keep_the_gateway_closed(
    start_gateway: StartGateway, upstream: ScriptedUpstream, state: Path
) -> None:
    """They count as configured keys; without an owner nobody makes a first one."""
    before = await start_gateway(upstream.base_url, **WITH_OWNER)
    await make_key(before, "bad")
    with database(state) as connection:
        connection.execute(DAMAGES["no JSON"])
    gateway = await start_gateway(upstream.base_url)
    for method, path, body in (("GET", "/v1/models", None), ("POST", "/admin/keys", ADMIN)):
        assert (await call(gateway, method, path, body, key=None)).status == 401


@pytest.mark.parametrize("used", ["'yesterday'", "-1.0", "1e300", "9e999", "X'00'"])
async def test_a_damaged_time_of_use_costs_only_that(
    start_gateway: StartGateway, upstream: ScriptedUpstream, state: Path, used: str
) -> None:
    before = await start_gateway(upstream.base_url, **WITH_OWNER)
    key = await make_key(before, "anna")
    with database(state) as connection:
        connection.execute(f"UPDATE keys SET used = {used}")
    gateway = await start_gateway(upstream.base_url, **WITH_OWNER)
    assert "lastUsedAt" not in (await call(gateway, "GET", "/admin/keys/anna")).body
    assert (await call(gateway, "GET", "/v1/models", key=key)).status == 200


async def assert_nothing_can_be_changed(gateway: Gateway, key: str, reason: str, **settings: object) -> None:
    """Each change is a 500 that says why, and changes nothing; the key goes on working."""
    before = (await call(gateway, "GET", "/admin/keys")).body
    for method, path, body in (
        ("POST", "/admin/keys", {"name": "new", **settings}),
        ("PATCH", "/admin/keys/anna", {"note": "x", **settings}),
    ):
        reply = await call(gateway, method, path, body)
        assert (reply.status, reason in reply.body["error"]) == (500, True), reply.body
        assert "nothing was changed" in reply.body["error"]
    assert (await call(gateway, "GET", "/admin/keys")).body == before
    assert (await call(gateway, "GET", "/v1/models", key=key)).status == 200


async def test_in_a_folder_that_cant_be_written_the_keys_go_on(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    state: Path,
    make_read_only: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """From a copy. No secret is replaced, and no key is revoked."""
    caplog.set_level("INFO")
    key = await make_key(await start_gateway(upstream.base_url, **WITH_OWNER), "anna")
    with database(state) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    make_read_only(state)
    gateway = await start_gateway(upstream.base_url, **WITH_OWNER)
    await assert_nothing_can_be_changed(gateway, key, str(state))
    for method, path in (("POST", "/admin/keys/anna/rotate"), ("DELETE", "/admin/keys/anna")):
        body = {} if method == "POST" else None
        assert (await call(gateway, method, path, body)).status == 500
        assert (await call(gateway, "GET", "/v1/models", key=key)).status == 200
    assert any("(state_not_saved)" in line for line in caplog.messages)
    assert 'change":"' not in caplog.text


LARGE = {"models": [f"{number:0>250}*" for number in range(100)]}


async def test_on_a_full_disk_the_keys_go_on(
    start_gateway: StartGateway, upstream: ScriptedUpstream, state: Path, mount: Mount
) -> None:
    """With room they can be changed again."""
    mount(state, "-t", "tmpfs", "-o", "size=512k", "tmpfs")
    gateway = await start_gateway(upstream.base_url, **WITH_OWNER)
    key = await make_key(gateway, "anna")
    ballast = state / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    await assert_nothing_can_be_changed(gateway, key, "disk is full", **LARGE)
    ballast.unlink()
    assert await make_key(gateway, "new", **LARGE)


async def test_in_a_database_that_may_not_grow_the_keys_go_on(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """As a full disk, on machines where nothing can be mounted."""
    gateway = await start_gateway(upstream.base_url, **WITH_OWNER)
    key = await make_key(gateway, "anna")
    limit = "PRAGMA max_page_count = 4"
    await gateway.app[DATABASE].read(lambda connection: connection.execute(limit).fetchone())
    await assert_nothing_can_be_changed(gateway, key, "disk is full", **LARGE)


async def test_a_database_that_was_deleted_says_so(
    start_gateway: StartGateway, upstream: ScriptedUpstream, state: Path
) -> None:
    gateway = await start_gateway(upstream.base_url, **WITH_OWNER)
    key = await make_key(gateway, "anna")
    (state / NAME).unlink()
    await assert_nothing_can_be_changed(gateway, key, "was moved or deleted")


async def test_a_newer_database_stops_the_start(tmp_path: Path) -> None:
    """With status 78, and its keys are untouched."""
    state = tmp_path / "state" / "lmgateway"
    state.mkdir(parents=True)
    with database(state) as connection:
        connection.execute("PRAGMA user_version = 999")
        connection.execute("CREATE TABLE keys (everything TEXT)")
    before = (state / NAME).read_bytes()
    status, output = await run("serve", "--port", "0", cwd=tmp_path)
    assert (status, "newer lmgateway" in output) == (78, True), output
    assert (state / NAME).read_bytes() == before


async def test_the_database_holds_no_secret(
    start_gateway: StartGateway, upstream: ScriptedUpstream, state: Path
) -> None:
    """Only the id and the hash: who copies it can make no request with it."""
    gateway = await start_gateway(upstream.base_url, **WITH_OWNER)
    key = await make_key(gateway, "anna")
    stored = b"".join(path.read_bytes() for path in state.iterdir())
    assert key[6:14].encode() in stored
    assert key[-20:].encode() not in stored


def test_5000_keys_are_read_in_less_than_a_second(tmp_path: Path) -> None:
    """Of the start's processor time."""
    keys = {key.name: msgspec.json.encode(key).decode() for key in many(5000).values()}

    async def prepare() -> None:
        opened, _ = await keys_in(tmp_path)
        rows = list(keys.items())
        insert = "INSERT INTO keys (name, key) VALUES (?, ?)"
        await opened.write(lambda connection: connection.executemany(insert, rows))
        await opened.close()

    async def restore() -> None:
        opened, restored = await keys_in(tmp_path)
        assert len(restored.ring.secrets) == 5000
        await opened.close()

    asyncio.run(prepare())
    assert processor_seconds(lambda: asyncio.run(restore())) < 1


async def test_times_of_use_that_cant_be_saved_fill_no_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failure is logged and counted; they become rare."""
    opened, keys = await keys_in(tmp_path)
    (tmp_path / NAME).unlink()
    keys.uses.add("anna", "10.0.0.1")
    clock = Clock(monkeypatch)
    saving = asyncio.create_task(keys.save_uses())
    await asyncio.sleep(0)
    passed, times = 0.0, []
    while len(times) < 12:
        await clock.pass_seconds(2.5)
        passed += 2.5
        await opened.read(lambda _connection: None)  # what was submitted before is done then
        if opened.errors > len(times):
            times.append(passed)
    saving.cancel()
    await opened.close()
    assert times[-1] > 3000
