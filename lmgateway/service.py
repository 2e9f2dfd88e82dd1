"""The gateway as a service: starts, reloads its configuration, drains, and notifies the service manager."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial

from aiohttp import web
from msgspec import structs

from . import background
from .access.keyring import Keyring
from .app import create_app, make_rules, put_in_force
from .boxes.sdk import library as sdk
from .config import Config
from .errors import ConfigError
from .observe import logs
from .observe.clock import iso_timestamp
from .server.connection_limits import ConnectionLimits
from .server.listening import listening
from .server.loop import Signals
from .server.service_manager import ServiceManager
from .server.sockets import bind, inherited
from .server.tls import ServerTls
from .settings import Loaded
from .storage.folder_lock import FolderLock, Holder
from .storage.state_folder import state_directory
from .web.state import ACTIVITY, KEYS

logger = logging.getLogger(__name__)

# A stream needs two descriptors, so the usual soft limit of 1024 would allow only 500 of them.
DESCRIPTORS = 65_536
# Settings that a reload can't change, because they are used only at startup.
_STARTUP_SETTINGS = ("host", "port", "state_dir")


class Service:
    """A gateway whose configuration is what `load` returns, at startup and at each reload."""

    def __init__(self, load: Callable[[], Loaded]) -> None:
        """Raises ConfigError."""
        self._load = load
        self._at_start = load()
        self.config = self._at_start.config
        self._tls = ServerTls(self.config.server)
        self._limits = ConnectionLimits(self.config)
        self._manager = ServiceManager(os.environ)
        configure_logging(self.config)

    async def run(self, signals: Signals, on_listening: Callable[[int, Keyring], None]) -> None:
        """Serve until `signals.stop` is set. `on_listening` is called with the port and the named keys.

        Raises CannotListen, StateInUse, and ConfigError for a database that is newer than this program.
        """
        _raise_descriptor_limit()
        server = self.config.server
        with ExitStack() as held:
            held.callback(self._manager.close)
            # Bound before the state folder is locked: clients that connect while this process waits for the
            # one before it are served afterwards.
            sockets = inherited(os.environ) or bind(server.host, server.port)
            for bound in sockets:
                held.callback(bound.close)
            lock = FolderLock(state_directory(server.state_dir))
            held.callback(lock.release)
            if await self._is_locked(lock, sockets, signals.stop):
                await self._serve(signals, sockets, lock, on_listening)
        logger.info("stopped")

    async def _is_locked(
        self, lock: FolderLock, sockets: Sequence[socket.socket], stop: asyncio.Event
    ) -> bool:
        """Lock the state folder; return False if `stop` was set while another process had it."""

        def on_wait(reason: str, seconds: float) -> None:
            logger.warning("%s", reason)
            self._manager.waiting(reason, seconds)

        host, port = sockets[0].getsockname()[:2]
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        holder = Holder(pid=os.getpid(), address=address, since=iso_timestamp())
        drain_seconds = self.config.server.drain_seconds
        return await lock.acquire(holder, drain_seconds=drain_seconds, stop=stop, on_wait=on_wait)

    async def _serve(
        self,
        signals: Signals,
        sockets: Sequence[socket.socket],
        lock: FolderLock,
        on_listening: Callable[[int, Keyring], None],
    ) -> None:
        app = create_app(self.config, self._at_start.reports(), on_failure=signals.fail)
        async with listening(
            app,
            sockets,
            limits=self._limits,
            tls=self._tls.listening,
            hurry=signals.hurry,
            on_failure=signals.fail,
        ) as port:
            on_listening(port, app[KEYS].ring)
            _settle_garbage_collector()
            self._manager.ready()
            feeding = background.start_vital(
                self._manager.feed_watchdog(lambda: self._status(app)), signals.fail
            )
            async with background.running(partial(self._reload_on_signal, app, signals.reload)):
                await signals.stop.wait()
            await background.end(feeding)
            logger.info("stopping: waiting for running requests")
            lock.mark_ending()
            self._manager.stopping()

    def _status(self, app: web.Application) -> str:
        running, connected = len(app[ACTIVITY].running), len(self._limits.connections)
        return f"{running} requests are running, {connected} clients are connected"

    async def _reload_on_signal(self, app: web.Application, signal: asyncio.Event) -> None:
        while True:
            await signal.wait()
            signal.clear()
            self._manager.reloading()
            try:
                self._reload(app)
            except Exception:
                # A bug. The task must survive it, so that the next SIGHUP reloads again.
                logger.exception("reloading failed; the configuration is unchanged")
            self._manager.ready()

    def _reload(self, app: web.Application) -> None:
        """Put the new configuration in force, or nothing of it.

        It never waits, so no request and no second reload sees the half of it.
        """
        try:
            loaded = self._load()
            config = loaded.config
            certificate = self._tls.reloaded(config.server)
        except ConfigError as exc:
            for problem in exc.problems:
                logger.error("%s", problem)  # noqa: TRY400 - a traceback wouldn't help
            logger.error("the configuration is unchanged; correct it and reload again")  # noqa: TRY400
            return
        pending = self._pending(config)
        rules = make_rules(
            app,
            config,
            tuple(structs.replace(one, needs_restart=one.path in pending) for one in loaded.reports()),
        )
        # Everything that can fail was done above.
        for path in pending:
            logger.warning("%s takes effect when the gateway is restarted", path)
        self.config = config
        configure_logging(config)
        self._tls.replace(certificate)
        self._limits.reconfigure(config)
        put_in_force(app, rules)
        logger.info("the configuration is reloaded")

    def _pending(self, config: Config) -> list[str]:
        """Return the settings that differ from those that the gateway was started with, and stay so."""
        started = self._at_start.config.server
        names = (name for name in _STARTUP_SETTINGS if getattr(config.server, name) != getattr(started, name))
        return [f"server.{name}" for name in names]


def configure_logging(config: Config) -> None:
    logs.configure(config.logging.level, config.logging.format, quiet=sdk.LOGGERS)


def _settle_garbage_collector() -> None:
    """Exclude the objects that live as long as the process from garbage collection, and collect less often.

    With Python's defaults the collector takes a twelfth of a request's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _raise_descriptor_limit() -> None:
    if sys.platform == "win32":
        return
    import resource  # there is none on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft < most:
        # Fails in a hardened systemd unit, which sets its own limit, and on macOS, which allows less than the
        # limit that it reports. Python raises ValueError for both.
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
