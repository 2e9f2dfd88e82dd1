"""How long others wait beside the worst requests: one such request, and small ones on another connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from .asking import Asking
from .figures import Percentiles
from .gateway import everything_on
from .growth import Growth
from .measuring import warm
from .place import Place
from .wire import Door
from .worst_inputs import CONTROL, WORST, Worst

PING_PAUSE_SECONDS = 0.002
_ANSWER_SECONDS = 300


async def worst(place: Place, say: Callable[[str], None]) -> Growth:
    """Measure each of them once, and a body of the same size that is only passed on."""
    rows = []
    async with everything_on(place) as gateway:
        await warm(gateway)
        for each in WORST:
            say(each.title)
            wait, control = (
                await waits(gateway.door, each, each.most),
                await waits(gateway.door, CONTROL, each.most),
            )
            rows.append(
                (each.title, f"{each.most / 1024**2:.2g}", f"{wait.worst:.0f}", f"{control.worst:.0f}")
            )
    headings = ("request", "MiB", "longest wait of /health, ms", "beside a body that is passed on, ms")
    return Growth("The longest wait of /health beside the worst requests", headings, tuple(rows))


async def waits(
    door: Door, worst: Worst, size: int, *, kept_waiting: Callable[[], int] = lambda: 0
) -> Percentiles:
    """Send this request, and return how long /health took meanwhile, in ms.

    `kept_waiting` returns for how many nanoseconds the processes have waited for a processor, which isn't
    counted.
    """
    request = await asyncio.to_thread(worst.request, door, size)
    async with Asking.connected(door.port) as other:
        ping = door.get("/health")
        await other.ask(ping)
        # In a thread, because the measuring loop would be held up by a long write.
        sending = asyncio.create_task(asyncio.to_thread(_send, door.port, request))
        taken = []
        while not sending.done():
            before = kept_waiting()
            taken.append(await other.ask(ping) - kept_waiting() + before)
            await asyncio.sleep(PING_PAUSE_SECONDS)
        await sending
    return Percentiles.of(taken)


def _send(port: int, request: bytes) -> None:
    """Send it, and wait for the answer's first bytes, whatever they are."""
    with socket.create_connection(("127.0.0.1", port), _ANSWER_SECONDS) as connection:
        try:
            connection.sendall(request)
        except ConnectionError:
            return  # it was refused before it was read
        connection.recv(65536)
