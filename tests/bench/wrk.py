"""Requests as many as go, by wrk."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

from msgspec import Struct

from .wire import PATH, Door

CONNECTIONS = 64
_SCRIPT = Path(__file__).with_name("wrk.lua")


class Failed(Exception):
    """wrk couldn't ask, or wasn't answered well."""


class Requests(Struct, frozen=True):
    """What wrk counted, in `seconds`."""

    requests: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


async def requests(door: Door, body: bytes, seconds: float, *, connections: int = CONNECTIONS) -> Requests:
    """Post the body on so many connections, each request after the answer before it. Raises Failed.

    wrk knows whole seconds only; it runs at least one.
    """
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(body)
        fields = [text for name, value in door.fields.items() for text in ("-H", f"{name}: {value}")]
        wrk = await asyncio.create_subprocess_exec(
            *("wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"),
            *("-s", str(_SCRIPT), *fields, f"http://127.0.0.1:{door.port}{PATH}", "--", file.name),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output = (await wrk.communicate())[0].decode(errors="replace")
        finally:
            if wrk.returncode is None:
                wrk.kill()
                await wrk.wait()
    try:
        counted = json.loads(output.splitlines()[-1])
    except (IndexError, ValueError) as exc:
        raise Failed(f"wrk: {output}") from exc
    if counted["errors"] or not counted["requests"]:
        raise Failed(f"wrk: {counted['errors']} errors in {counted['requests']} requests")
    return Requests(counted["requests"], counted["microseconds"] / 1e6)
