"""Tools that run on LM Studio's machine, which need the scope `tools`."""

from __future__ import annotations

import json

import pytest

from tests.conftest import StartGateway
from tests.support.household import CHAT, KEYED, NATIVE, OWNER, RESPONSES, ask, make_key
from tests.support.upstream import ScriptedUpstream

MCP = b'{"type":"mcp","server_label":"x","server_url":"http://127.0.0.1"}'
FUNCTION = (
    b'{"type":"function","name":"f","description":"\\"type\\":\\"mcp\\"","parameters":{"type":"object"}}'
)

USES = [
    (NATIVE, b'"integrations":["mcp/files"]'),
    (NATIVE, b'"integrations":"mcp/files"'),
    (NATIVE, b'"integrations":{}'),
    (NATIVE, b'"integrations":false'),
    (NATIVE, b'"integrations":[null]'),
    (NATIVE, b'"integrations":[],"integrations":[{"type":"plugin","id":"x"}]'),
    (NATIVE, rb'"integr\u0061tions":["mcp/files"]'),
    (RESPONSES, b'"tools":[%s]' % MCP),
    (RESPONSES, b'"tools":[%s,%s]' % (FUNCTION, MCP)),
    (RESPONSES, b'"tools":[{"type":"namespace","name":"n","tools":[%s]}]' % MCP),
    (RESPONSES, rb'"tools":[{"t\u0079pe":"\u006dc\u0070"}]'),
    (RESPONSES, rb'"tools":[{"\u0074\u0079\u0070\u0065" : "\u006D\u0063\u0070"}]'),
    (RESPONSES, b'"tools":[{"type"\r\n\t : \n"mcp"}]'),
    (RESPONSES, b'"tools":[{"type":"function","type":"mcp"}]'),
    (RESPONSES, b'"tools":[],"tools":[%s]' % MCP),
    (RESPONSES, rb'"t\u006fols":[%s]' % MCP),
    (RESPONSES, b'"tools":[{"a":"\\ud83d"},%s]' % MCP),
    (RESPONSES, b'"tools":[{"a":"%s"},%s]' % (b"x" * 5000, MCP)),
]
HARMLESS = [
    (NATIVE, b'"a":1'),
    (NATIVE, b'"integrations":null'),
    (NATIVE, b'"integrations":[ ]'),
    (NATIVE, b'"integrations":["x"],"integrations":[]'),
    (NATIVE, b'"input":"integrations"'),
    (NATIVE, b'"o":{"integrations":["x"]}'),
    (RESPONSES, b'"tools":null'),
    (RESPONSES, b'"tools":[%s]' % FUNCTION),
    (RESPONSES, b'"tools":[%s],"tools":[]' % MCP),
    (RESPONSES, b'"input":[%s]' % MCP),
    (RESPONSES, b'"tools":[{"type":"mcp2"},{"type":" mcp"},{"types":"mcp"},{"x":"type","y":"mcp"}]'),
    (CHAT, b'"tools":[%s]' % MCP),
    (CHAT, b'"integrations":["x"]'),
]
# Short, decoded at once, and scanned in pieces.
PADDINGS = [0, 80_000, 3_000_000]


@pytest.mark.parametrize("padding", PADDINGS)
async def test_a_key_without_the_scope_cannot_run_tools(
    start_gateway: StartGateway, upstream: ScriptedUpstream, padding: int
) -> None:
    """In whatever way they are spelled; the request doesn't reach LM Studio."""
    gateway = await start_gateway(upstream.base_url, **KEYED)
    key = await make_key(gateway)
    for path, member in USES:
        reply = await ask(gateway, key, path, b'{"model":"m","x":"%s",%s}' % (b"y" * padding, member))
        assert (reply.status, reply.code) == (403, "scope_missing"), member
        assert "lacks the scope tools" in reply.json["error"]["message"]
    assert upstream.received == []


async def test_keys_with_the_scope_can(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    gateway = await start_gateway(upstream.base_url, **KEYED)
    keys = (OWNER, await make_key(gateway, scopes=["inference", "tools"]))
    for path, member in USES:
        body = b'{"model":"m",%s}' % member
        for key in keys:
            assert (await ask(gateway, key, path, body)).status == 200, member
            assert upstream.last.body == body


@pytest.mark.parametrize("padding", PADDINGS)
async def test_what_runs_nothing_passes(
    start_gateway: StartGateway, upstream: ScriptedUpstream, padding: int
) -> None:
    """Functions are run by the client, and other text only looks like a tool."""
    gateway = await start_gateway(upstream.base_url, **KEYED)
    key = await make_key(gateway)
    for path, member in HARMLESS:
        body = b'{"model":"m","x":"%s",%s}' % (b"y" * padding, member)
        assert (await ask(gateway, key, path, body)).status == 200, member
        assert upstream.last.body == body


async def test_tools_that_are_too_long_to_be_judged_are_refused(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """More than a megabyte, for a key without the scope."""
    gateway = await start_gateway(upstream.base_url, **KEYED)
    tools = [{"type": "function", "name": "f", "description": "x" * 1024**2}]
    body = json.dumps({"model": "m", "tools": tools}).encode()
    reply = await ask(gateway, await make_key(gateway), RESPONSES, body)
    assert (reply.status, "scope tools" in reply.json["error"]["message"]) == (400, True)
    assert (await ask(gateway, OWNER, RESPONSES, body)).status == 200
