"""What a request waits for until its answer begins: asked of the gateway, and shown on stderr."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any

from .. import background
from .chat_display import Display
from .durations import duration
from .failures import RequestFailed
from .gateway_client import GatewayClient
from .output import say
from .queue_tables import waits_for

Json = Mapping[str, Any]

# Answers that begin sooner need no explanation.
INTERVAL_SECONDS = 1.0
QUIET_SECONDS = 5.0
_WAITING = "Waiting for the answer"


class Waiting:
    """Inside the block, the display says what the request waits for."""

    def __init__(self, gateway: GatewayClient, request_id: str, display: Display) -> None:
        self._gateway = gateway
        self._request_id = request_id
        self._display = display
        self._may_ask = True
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._show() if self._display.shows_waiting else self._say_once())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            await background.end(self._task)

    async def _show(self) -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            if self._display.has_begun:
                return
            reason = await self._reason()
            waited = duration(round((time.monotonic() - began) * 1000))
            self._display.waiting(f"{reason or _WAITING} ({waited})")

    async def _say_once(self) -> None:
        """Say it in a line of its own, because stderr is a file or a pipe."""
        await asyncio.sleep(QUIET_SECONDS)
        reason = await self._reason()
        if not self._display.has_begun:
            say(f"{reason or _WAITING} …", error=True)

    async def _reason(self) -> str | None:
        """Ask the gateway, until it says that it doesn't tell this key."""
        if not self._may_ask:
            return None
        try:
            reason = describe(await self._gateway.request("GET", "/debug/queue"), self._request_id)
            await self._gateway.request("GET", "/health/ready")
        except RequestFailed as exc:
            if exc.http_status == HTTPStatus.SERVICE_UNAVAILABLE:
                return f"{str(exc).rstrip('.')}, the gateway retries"
            # The key lacks the scope `observe`, or the gateway is busy: the request itself says so.
            self._may_ask = False
            return None
        return reason


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
