"""What a request waits for until its answer begins: asked of the gateway, and shown on a terminal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from .chat_display import Display
from .durations import duration
from .failures import RequestFailed
from .gateway_client import GatewayClient
from .queue_tables import waits_for

Json = Mapping[str, Any]

# Answers that begin sooner need no explanation.
INTERVAL_SECONDS = 1.0


class Waiting:
    """Inside the block, the display says what the request waits for."""

    def __init__(self, gateway: GatewayClient, request_id: str, display: Display) -> None:
        self._gateway = gateway
        self._request_id = request_id
        self._display = display
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        if self._display.shows_waiting:
            self._task = asyncio.create_task(self._show())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _show(self) -> None:
        began = time.monotonic()
        may_ask = True
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            if self._display.has_begun:
                return
            reason = None
            if may_ask:
                try:
                    reason = describe(await self._gateway.request("GET", "/debug/queue"), self._request_id)
                except RequestFailed:
                    # The key lacks the scope `observe`, or the gateway is busy: the request itself says so.
                    may_ask = False
            waited = duration(round((time.monotonic() - began) * 1000))
            self._display.waiting(f"{reason or 'Waiting for the answer'} ({waited})")


def describe(report: Json, request_id: str) -> str | None:
    """Return what the report says of this request, None if nothing."""
    for one in report["waiting"]:
        if one["requestId"] == request_id:
            return _waits(one, report)
    for one in report["running"]:
        if one["requestId"] == request_id and one["phase"] == "prompt":
            return f"{one['model']} reads the prompt"
    return None


def _waits(one: Json, report: Json) -> str:
    swap = report["swap"]
    if swap is not None and swap["to"] == one["model"]:
        return _replaces(swap)
    if any(each["model"] == one["model"] and each["state"] == "loading" for each in report["instances"]):
        return f"Loading {one['model']}"
    place = f"{one['ahead']:,} before it" if one["ahead"] else "it is the next"
    eta = "" if one["etaMs"] is None else f", runs in about {duration(one['etaMs'])}"
    return f"Waiting for {waits_for(one)}: {place}{eta}"


def _replaces(swap: Json) -> str:
    ready = "" if swap["etaMs"] is None else f", ready in about {duration(swap['etaMs'])}"
    if swap["state"] == "draining":
        return f"{swap['to']} is loaded when the requests on {swap['from']} have ended{ready}"
    return f"Loading {swap['to']} in place of {swap['from']}{ready}"
