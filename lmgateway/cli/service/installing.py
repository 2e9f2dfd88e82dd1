"""`lmgateway service install`: the gateway of this folder starts by itself, and loses nothing."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ...errors import CannotListen, StateInUse
from ...server.sockets import bind
from .. import ports
from ..failures import RequestFailed
from ..output import say
from . import configuration, elsewhere, files, health, places, program, rights, source, state, units
from .places import SERVICE, Places
from .source import Source
from .steps import ServiceFailed, Step, carry_out
from .systemd import Systemd
from .systemd import is_running as systemd_runs


def install(options: argparse.Namespace) -> int:
    """Install the service, or update it. All checks come before the first change.

    Raises ConfigError, StateInUse, CannotListen, ServiceFailed, CannotWrite.
    """
    where = places.chosen(options)
    systemd = Systemd(where.is_user)
    failures: list[Exception] = []
    checking = partial(_checking, failures, dry_run=options.dry_run)
    with checking():
        rights.check(where, "install", options.root, options.config)
        elsewhere.check(options.config, options.root)
    found = source.find(options, where)
    with checking():
        program.check(where)
    if systemd_runs(options.root):
        with checking():
            _check_running(found, where, systemd)
    _say_what_stays(found, where)
    with _umask(0o077 if where.is_user else 0o022):
        carry_out(list(_steps(found, where, systemd)), dry_run=options.dry_run)
    if not options.dry_run:
        health.wait(found.config, systemd)
        health.describe(found, where, systemd)
    return int(bool(failures))


@contextmanager
def _checking(failures: list[Exception], *, dry_run: bool) -> Iterator[None]:
    """With `dry_run`, print what is wrong instead of raising it, and add it to the failures."""
    try:
        yield
    except (RequestFailed, StateInUse, CannotListen) as exc:
        if not dry_run:
            raise
        failures.append(exc)
        say(f"As it is, the installation would fail: {exc}")


def _check_running(found: Source, where: Places, systemd: Systemd) -> None:
    """Raises StateInUse or CannotListen if another gateway, or program, is in the way."""
    if where.is_user:
        systemd.run("show-environment")  # fails without a login, such as in `su`
    if systemd.is_active(*where.units):
        return
    if found.used is not None and found.file is not None:
        state.check(state.folder_of(found.used.config, found.file))
    _check_port(found.config.server.host, found.config.server.port)


def _check_port(host: str, port: int) -> None:
    try:
        for bound in bind(host, port):
            bound.close()
    except CannotListen as exc:
        holder = ports.holder_of(port)
        by = f", which {holder} uses" if holder else ""
        raise CannotListen(f"{exc}{by}. End that program, or set server.port to another port.") from exc


def _say_what_stays(found: Source, where: Places) -> None:
    if found.file is not None and found.kept:
        say(
            f"{where.config} stays as it is, because it is newer than {found.file}. To replace it (a copy is "
            f"saved): --config {found.file}"
        )


def _steps(found: Source, where: Places, systemd: Systemd) -> Iterator[Step]:
    yield from program.copying(where)
    yield from _configuring(found.new, found.taken.file, where)
    if found.used is not None and found.file is not None and not where.is_user:
        yield from state.copying(state.folder_of(found.used.config, found.file), where)
    yield from units.writing_service(where, found.new.drop_ins)
    socket = list(units.writing_socket(where, found.config))
    if socket and systemd.is_active(*where.units):
        # systemd changes no socket whose service runs.
        yield Step("stop the service and its socket", lambda: systemd.run("stop", *reversed(where.units)))
    yield from socket
    yield from _starting(where, systemd)


def _configuring(new: configuration.ServiceConfig, file: Path | None, where: Places) -> Iterator[Step]:
    also = f" and {', '.join(new.moved)}" if new.moved else ""
    without = ", without its secrets" if new.secrets else ""
    yield from files.writing(
        where.config,
        new.text,
        mode=files.PRIVATE if where.is_user else files.PUBLIC,
        about=f", made of {file.absolute() if file else 'nothing'}{also}{without}",
        keeps_copy=True,
    )
    for setting, value in new.secrets.items():
        yield from files.writing(
            where.secret(setting),
            f"{value}\n",
            mode=files.PRIVATE,
            about=f", which only root can read, with {setting}",
            keeps_copy=True,
        )


def _starting(where: Places, systemd: Systemd) -> Iterator[Step]:
    when = "this user logs in" if where.is_user else "the machine starts"

    def enable() -> None:
        systemd.run("daemon-reload")
        systemd.run("enable", *where.units)

    def start() -> None:
        for unit in where.units:
            try:
                systemd.run("restart" if unit == SERVICE else "start", unit)
            except ServiceFailed:
                health.say_log(systemd)
                raise

    yield Step(f"enable {' and '.join(where.units)}, to start when {when}", enable)
    yield Step("start the service; running requests may take half a minute to end", start)


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    previous = os.umask(mask)
    try:
        yield
    finally:
        os.umask(previous)
