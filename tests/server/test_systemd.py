"""systemd: notifications, watchdog, credentials, and the unit files."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lmgateway.server.service_manager import ServiceManager
from tests.support.process import lmgateway, serving
from tests.support.raw_client import raw_client

UNITS = Path(__file__).parents[2] / "systemd"
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")


class Manager:
    """The service manager's end of the notification socket."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)

    async def hears(self, what: str) -> str:
        """Wait for a message with this assignment."""
        async with asyncio.timeout(10):
            while True:
                said = (await asyncio.get_running_loop().sock_recv(self.socket, 4096)).decode()
                if what in said.split("\n"):
                    return said


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify@here")
    with manager.socket:
        yield manager


async def test_every_stage_of_the_process_is_notified(tmp_path: Path, manager: Manager) -> None:
    """Type=notify: ready once it listens, alive while the loop is, reloading, stopping."""
    environ = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "200000"}
    async with serving(tmp_path, **environ) as (gateway, port):
        await manager.hears("READY=1")
        async with raw_client(port):
            pass  # it does listen
        said = await manager.hears("WATCHDOG=1")
        assert "STATUS=0 requests are running, " in said
        gateway.send(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in await manager.hears("RELOADING=1")
        await manager.hears("READY=1")
        gateway.send(signal.SIGTERM)
        await manager.hears("STOPPING=1")
        assert (await gateway.ends())[0] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has sockets that are no files")
async def test_the_notification_socket_may_be_abstract(tmp_path: Path) -> None:
    name = f"lmgateway-{tmp_path.name}-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"\0{name}")
        with closing(ServiceManager({"NOTIFY_SOCKET": f"@{name}"})) as service:
            service.ready()
        assert heard.recv(100) == b"READY=1"


async def test_a_stalled_loop_feeds_no_watchdog(manager: Manager) -> None:
    environ = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "100000"}
    with closing(ServiceManager(environ)) as service:
        feeding = asyncio.create_task(service.feed_watchdog(lambda: "fine"))
        await manager.hears("WATCHDOG=1")
        asyncio.get_running_loop().slow_callback_duration = 1
        time.sleep(0.3)
        with pytest.raises(BlockingIOError):
            manager.socket.recv(4096)
        await manager.hears("WATCHDOG=1")
        feeding.cancel()


async def test_the_watchdog_is_fed_though_no_descriptor_is_left(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients that use them all up don't have the gateway killed."""
    environ = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "20000"}
    with closing(ServiceManager(environ)) as service:
        service.ready()

        def fail(*_: object) -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(socket, "socket", fail)
        feeding = asyncio.create_task(service.feed_watchdog(lambda: "fine"))
        for _ in range(3):
            await manager.hears("WATCHDOG=1")
        assert not feeding.done()
        feeding.cancel()


async def test_a_missing_manager_and_another_process_watchdog_are_ignored(tmp_path: Path) -> None:
    for environ in ({"NOTIFY_SOCKET": str(tmp_path / "nobody")}, {}):
        with closing(ServiceManager(environ)) as service:
            service.ready()
    for environ in ({}, {"NOTIFY_SOCKET": str(tmp_path / "x"), "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}):
        with closing(ServiceManager(environ)) as service:
            feeding = asyncio.create_task(service.feed_watchdog(lambda: "fine"))
            await asyncio.sleep(0)
            feeding.cancel()


async def test_credentials_are_settings(tmp_path: Path) -> None:
    """LoadCredential=GATEWAY_API_KEY:… keeps the key out of the environment and of every file but root's."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "GATEWAY_API_KEY").write_text("from a credential\n")
    (folder / "LMSTUDIO_API_TOKEN").write_text("\n")
    async with lmgateway("check", cwd=tmp_path, CREDENTIALS_DIRECTORY=str(folder)) as check:
        _, output = await check.ends()
    lines = {line.split(" = ")[0]: line for line in output.splitlines()}
    assert lines["auth.api_key"].endswith("# credential (GATEWAY_API_KEY)")
    assert lines["lmstudio.api_token"].endswith("# default")
    assert "from a" not in output


@needs_systemd
@pytest.mark.parametrize(
    ("manager", "service", "command"),
    [
        ("--system", UNITS / "lmgateway.service", "/opt/lmgateway/bin/lmgateway"),
        ("--user", UNITS / "user" / "lmgateway.service", "%h/.local/share/lmgateway/bin/lmgateway"),
    ],
    ids=["system", "user"],
)
def test_systemd_finds_nothing_wrong_with_the_units(
    tmp_path: Path, manager: str, service: Path, command: str
) -> None:
    """For the system's manager and a user's, with the same socket."""
    text = service.read_text()
    assert f"ExecStart={command} serve" in text
    (tmp_path / service.name).write_text(text.replace(command, sys.executable))
    shutil.copy(UNITS / "lmgateway.socket", tmp_path)
    verify = ["systemd-analyze", manager, "verify", "--recursive-errors=no"]
    verified = subprocess.run(
        [*verify, *map(str, tmp_path.glob("*.s*"))],
        capture_output=True,
        text=True,
        check=False,
        # Empty folders, where a user's manager looks for other units.
        env={**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="only there is a service of systemd's")
@pytest.mark.parametrize("service", ["lmgateway.service", "user/lmgateway.service"])
@pytest.mark.parametrize("library", ["libc.so.6", "libnothere.so.2"], ids=["installed", "missing"])
def test_jemalloc_is_preloaded_only_where_it_is_installed(tmp_path: Path, service: str, library: str) -> None:
    """Neither the step before the start nor the gateway makes the loader complain about a missing library."""
    text = (UNITS / service).read_text()
    assert "EnvironmentFile=-%t/lmgateway/allocator" in text
    (command,) = re.findall(r"^ExecStartPre=/bin/sh -c '(.*)'$", text, re.MULTILINE)
    # An installed library in place of jemalloc.
    command = command.replace("$$", "$").replace("libjemalloc.so.2", library)
    environ = {"RUNTIME_DIRECTORY": str(tmp_path), "PATH": os.defpath}
    prepared = subprocess.run(
        ["/bin/sh", "-c", command], env=environ, capture_output=True, text=True, check=False
    )
    assert (prepared.returncode, prepared.stdout, prepared.stderr) == (0, "", "")
    allocator = tmp_path / "allocator"
    lines = allocator.read_text().splitlines() if allocator.exists() else []
    variables = {
        "LD_PRELOAD": library,
        "PYTHONMALLOC": "malloc",
        "MALLOC_CONF": "background_thread:true,narenas:1",
    }
    expected = [f"{name}={value}" for name, value in variables.items()]
    assert lines == (expected if library == "libc.so.6" else [])


@needs_systemd
def test_systemd_calls_the_service_safe() -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20"]
    rated = subprocess.run(
        [*command, str(UNITS / "lmgateway.service")], capture_output=True, text=True, check=False
    )
    assert rated.returncode == 0, rated.stdout
