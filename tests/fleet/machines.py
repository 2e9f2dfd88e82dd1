"""Machines that don't answer, in place of a box's LM Studio."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager

from lmgateway.boxes.attendance import Attendance
from lmgateway.boxes.box import Box
from lmgateway.web.state import FLEET
from tests.fleet.boxes import Boxes
from tests.support.waiting import until


def box_of(home: Boxes, name: str) -> Box:
    found = home.gateway.app[FLEET].boxes.get(name)
    assert found is not None
    return found


def attendance_of(home: Boxes, name: str) -> Attendance:
    attendance = box_of(home, name).known.attendance
    assert attendance is not None
    return attendance


async def rests(home: Boxes, *names: str) -> None:
    """Wait until these boxes are left alone, and no socket is open any more."""
    for name in names:
        await until(lambda: attendance_of(home, name).is_resting and not home.studios[name].sockets)  # noqa: B023


async def listed(home: Boxes, *names: str) -> None:
    """Wait until each of these boxes has been asked for its models."""
    for name in names:
        await until(lambda: box_of(home, name).catalogue.was_listed)  # noqa: B023


@contextmanager
def frozen_machine(port: int) -> Iterator[None]:
    """Its kernel accepts connections, and nothing ever answers on them."""
    with _listener(port, backlog=100):
        yield


@contextmanager
def suspended_machine(port: int) -> Iterator[None]:
    """It drops every packet: no connection can be made, and none is refused.

    A full backlog does that, on Linux.
    """
    with _listener(port, backlog=0), ExitStack() as stack:
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield


@contextmanager
def _listener(port: int, backlog: int) -> Iterator[None]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(backlog)
        yield


KINDS = {"frozen": frozen_machine, "suspended": suspended_machine}


@asynccontextmanager
async def instead(home: Boxes, box: str, kind: str) -> AsyncIterator[None]:
    """Have such a machine at a box's address. Afterwards LM Studio was started again, with nothing in memory.

    `off`: connections are refused.
    """
    studio = home.studios[box]
    await studio.stop()
    with ExitStack() as stack:
        if kind != "off":
            stack.enter_context(KINDS[kind](studio.port))
        yield
    await home.restart_box(box)
