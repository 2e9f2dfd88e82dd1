"""`lmgateway boxes`: lists, drains, resumes and wakes the LM Studios behind a running gateway."""

from __future__ import annotations

import argparse
from urllib.parse import quote

from .box_tables import overview
from .failures import EX_USAGE, RequestFailed
from .gateway_client import GatewayClient
from .models import ask_gateway, say_message
from .output import say_answer, say_table

_BOXES = "/admin/boxes"


def listing(options: argparse.Namespace) -> int:
    async def ask(gateway: GatewayClient) -> int:
        answer = await gateway.request("GET", _BOXES)
        if options.json:
            return say_answer(answer)
        rows, numbers = overview(answer["boxes"])
        say_table(rows, numbers=numbers)
        return 0

    return ask_gateway(options, ask)


def change(options: argparse.Namespace) -> int:
    path = f"{_BOXES}/{_segment(options.name)}/{options.change}"

    async def ask(gateway: GatewayClient) -> int:
        return say_message(options, await gateway.request("POST", path))

    return ask_gateway(options, ask)


def _segment(name: str) -> str:
    """Return a name as a segment of a path. Raises RequestFailed for one that can't be one."""
    if name.strip(".") == "":
        raise RequestFailed(f"{name!r} can't be a box's name. `lmgateway boxes` lists them.", EX_USAGE)
    return quote(name, safe="")
