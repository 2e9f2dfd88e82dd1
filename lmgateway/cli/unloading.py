"""`lmgateway unload`: on a terminal, it asks before it ends the requests that run."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from ..models.memory import USUAL_DRAIN_SECONDS
from .failures import RequestFailed
from .gateway_client import GatewayClient
from .models import Access, access_of, ask_at, body_of, say_message
from .output import say

# After so long the user sees what the command waits for.
_SILENT_SECONDS = 1.0


def unload(options: argparse.Namespace) -> int:
    """At once with --force, otherwise when the requests that run have ended, or --yes has waited for them."""
    access = access_of(options)
    is_asking = not options.yes and sys.stdin.isatty() and sys.stderr.isatty()
    if options.force and not is_asking:
        return _post(access, options, force=True)
    try:
        return _post(access, options, drainSeconds=0 if options.force else options.wait)
    except RequestFailed as exc:
        if exc.http_status != HTTPStatus.CONFLICT or not (is_asking or options.yes):
            raise
        if is_asking and not _is_confirmed(f"{exc}\nEnd what runs with an error, and unload it? [y/N]"):
            say("It stays in memory.", error=True)
            return 1
    return _post(access, options, force=True)


def _post(access: Access, options: argparse.Namespace, **how: object) -> int:
    async def ask(gateway: GatewayClient) -> int:
        body = body_of(options, box=options.box, **how)
        if how.get("force") or how.get("drainSeconds") == 0 or not sys.stderr.isatty():
            answer = await gateway.request("POST", "/admin/models/unload", body)
        else:
            answer = await _wait(gateway, body)
        return say_message(options, answer)

    return ask_at(access, ask)


async def _wait(gateway: GatewayClient, body: Mapping[str, object]) -> Any:
    unloading = asyncio.create_task(gateway.request("POST", "/admin/models/unload", body))
    try:
        await asyncio.wait([unloading], timeout=_SILENT_SECONDS)
        if not unloading.done():
            seconds = body.get("drainSeconds", USUAL_DRAIN_SECONDS)
            what = f"Waiting for the requests that run on {body['modelKey']} to end, at most {seconds:g} s."
            say(f"{what} Ctrl-C keeps it in memory.", error=True)
        return await unloading
    finally:
        unloading.cancel()


def _is_confirmed(question: str) -> bool:
    # Outside of the event loop, which would swallow the first Ctrl-C while input is awaited.
    *lines, last = question.split("\n")
    for line in lines:
        say(line, error=True)
    say(last, error=True, end=" ")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
