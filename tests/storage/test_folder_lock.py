"""Two gateways on one state folder notice each other."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from lmgateway.errors import StateInUse
from lmgateway.storage import folder_lock
from lmgateway.storage.folder_lock import FILE_NAME, FolderLock, Holder, holder_of
from tests.storage.conftest import warnings
from tests.support.clock import Clock
from tests.support.process import lmgateway, run
from tests.support.raw_client import raw_client
from tests.support.requests import request
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, chunk
from tests.support.waiting import until

SERVE = ("serve", "--host", "127.0.0.1", "--port", "0")
US = Holder(pid=os.getpid(), address="127.0.0.1:8002", since="2026-01-01T00:00:00.000Z")


def lock_file(cwd: Path) -> Path:
    return cwd / "state" / "lmgateway" / FILE_NAME


async def acquire(
    lock: FolderLock, *, drain_seconds: float = 0, waits: Callable[[str, float], None] | None = None
) -> bool:
    return await lock.acquire(
        US, drain_seconds=drain_seconds, stop=asyncio.Event(), on_wait=waits or (lambda *_: None)
    )


async def test_a_second_gateway_doesnt_start(tmp_path: Path) -> None:
    """It says which process has the folder and where that one listens. The first one goes on."""
    async with lmgateway(*SERVE, cwd=tmp_path) as first:
        port = await first.port()
        status, output = await run(*SERVE, cwd=tmp_path)
        assert status == 75
        last = output.splitlines()[-1]
        assert last.startswith(f"lmgateway: {lock_file(tmp_path).parent} is in use by another lmgateway (")
        assert f"process {first.pid}, which has served 127.0.0.1:{port} since 20" in last
        assert last.endswith("End it, or set server.state_dir to another folder.")
        async with raw_client(port) as client:
            assert (await client.ask(request(b"GET /health"))).status == 200


async def test_another_folder_is_free(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        for number in range(2):
            arguments = (*SERVE, "--set", f"server.state_dir={tmp_path / str(number)}")
            await (await stack.enter_async_context(lmgateway(*arguments, cwd=tmp_path))).port()


async def test_kill_9_frees_the_folder(tmp_path: Path) -> None:
    """The killed process's record delays no later start."""
    async with lmgateway(*SERVE, cwd=tmp_path) as killed:
        await killed.port()
        killed.send(signal.SIGKILL)
        await killed.ends()
    assert json.loads(lock_file(tmp_path).read_bytes())["pid"] == killed.pid
    assert holder_of(lock_file(tmp_path).parent) is None
    async with lmgateway(*SERVE, cwd=tmp_path) as next_one:
        await next_one.port()
        assert not [line for line in next_one.output if "is in use" in line]
        assert json.loads(lock_file(tmp_path).read_bytes())["pid"] == next_one.pid


async def test_one_that_is_ending_is_waited_for(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """Its stream ends completely, and who connects to the next one meanwhile is served afterwards."""
    finish = asyncio.Event()

    async def script(_request: Received, _reader: object, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        await finish.wait()
        writer.write(chunk(b"data: 2\n\n") + b"0\r\n\r\n")

    upstream.script = script
    environ = {"LMSTUDIO_BASE_URL": upstream.base_url}
    async with lmgateway(*SERVE, cwd=tmp_path, **environ) as first:
        port = await first.port()
        async with raw_client(port) as streaming:
            await streaming.send(request(b"GET /v1/stream"))
            await asyncio.wait_for(streaming.reader.readuntil(b"data: 1"), 10)
            first.send(signal.SIGTERM)
            await first.says("stopping: waiting for running requests")
            serve = ("serve", "--host", "127.0.0.1", "--port", str(port))
            async with lmgateway(*serve, cwd=tmp_path, **environ) as second:
                await second.says(f"is in use by process {first.pid}")
                async with raw_client(port) as early:
                    finish.set()
                    await asyncio.wait_for(streaming.reader.readuntil(b"data: 2"), 10)
                    assert (await first.ends())[0] == 0
                    await second.port()
                    assert (await early.ask(request(b"GET /health"))).status == 200


async def test_sigterm_ends_the_waiting(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """At once, and it is no failure."""

    async def script(_request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        await reader.read()

    upstream.script = script
    async with lmgateway(*SERVE, cwd=tmp_path, LMSTUDIO_BASE_URL=upstream.base_url) as first:
        async with raw_client(await first.port()) as streaming:
            await streaming.send(request(b"GET /v1/stream"))
            await asyncio.wait_for(streaming.reader.readuntil(b"data: 1"), 10)
            first.send(signal.SIGTERM)
            await first.says("stopping: waiting for running requests")
            async with lmgateway(*SERVE, cwd=tmp_path) as second:
                await second.says("waiting for its end")
                second.send(signal.SIGTERM)
                assert (await second.ends())[0] == 0
        assert (await first.ends())[0] == 0


async def test_one_that_doesnt_end_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_lock, "CLOSE_SECONDS", 0.0)
    monkeypatch.setattr(folder_lock, "NOTICE_SECONDS", 0.0)
    clock = Clock(monkeypatch)
    first, second, waits = FolderLock(tmp_path), FolderLock(tmp_path), list[tuple[str, float]]()
    assert await acquire(first)
    with pytest.raises(
        StateInUse, match=rf"process {US.pid}, which has served {US.address} since [^ ]+\)\. End it"
    ):
        await acquire(second, drain_seconds=NEVER)
    first.mark_ending()
    acquiring = asyncio.create_task(
        acquire(second, drain_seconds=NEVER, waits=lambda *wait: waits.append(wait))
    )
    await until(lambda: waits)
    assert waits == [(f"{tmp_path} is in use by {US}; waiting for its end", NEVER)]
    await clock.pass_seconds(NEVER)
    with pytest.raises(StateInUse, match="and is still ending"):
        await acquiring
    first.release()
    assert await acquire(second)
    second.release()
    assert holder_of(tmp_path) is None


NEVER = 10.0**9


async def test_a_holder_without_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk nothing can be recorded, and the lock is in force."""
    killed = structs.replace(US, pid=1)
    (tmp_path / FILE_NAME).write_bytes(msgspec.json.encode(killed))
    monkeypatch.setattr(FolderLock, "_write", lambda *_: None)
    first = FolderLock(tmp_path)
    assert await acquire(first)
    assert holder_of(tmp_path) == "another process"
    monkeypatch.setattr(folder_lock, "CLOSE_SECONDS", 0.0)
    with pytest.raises(StateInUse, match="is in use by another process"):
        await acquire(FolderLock(tmp_path))
    first.release()


async def test_a_deleted_file_locks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it is replaced between its opening and its locking, the new one is locked."""
    path, try_lock = tmp_path / FILE_NAME, folder_lock.try_lock

    def replaced(descriptor: int) -> bool:
        monkeypatch.setattr(folder_lock, "try_lock", try_lock)
        path.rename(tmp_path / "old")
        path.touch()
        return try_lock(descriptor)

    monkeypatch.setattr(folder_lock, "try_lock", replaced)
    lock = FolderLock(tmp_path)
    assert await acquire(lock)
    assert holder_of(tmp_path) == US
    lock.release()


async def test_a_file_system_without_locks_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Some network drives have none."""

    def fails(_descriptor: int) -> bool:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(folder_lock, "try_lock", fails)
    lock = FolderLock(tmp_path)
    assert await acquire(lock)
    lock.mark_ending()
    lock.release()
    (warning,) = warnings(caplog)
    assert warning == (
        f"{tmp_path} can't be locked (No locks available), so a second gateway that uses it won't be noticed"
    )


async def test_a_read_only_folder_is_a_warning(
    tmp_path: Path, make_read_only: Callable[[Path], None]
) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    make_read_only(folder)
    arguments = (*SERVE, "--set", f"server.state_dir={folder}")
    async with (
        lmgateway(*arguments, cwd=tmp_path) as gateway,
        raw_client(await gateway.port()) as client,
    ):
        assert (await client.ask(request(b"GET /health"))).status == 200
    assert f"{folder} can't be locked" in "".join(gateway.output)
