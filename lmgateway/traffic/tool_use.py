"""Whether a request makes LM Studio run programs on its machine: plugins, and tools of MCP servers."""

from __future__ import annotations

import re

from .rewrite import Body
from .wanted_members import spellings

# The member that has such tools, by path.
_MEMBERS = {"/api/v1/chat": "integrations", "/v1/responses": "tools"}
# Searching so much takes at most 40 ms.
JUDGED_BYTES = 1024**2
_NOTHING = re.compile(rb"null|\[[ \t\r\n]*\]")
# In any object inside the value: a tool may be nested in a namespace. A quote inside a text is escaped, so no
# text matches.
_MCP = re.compile(rb'"%s"[ \t\r\n]*:[ \t\r\n]*"%s"' % (spellings("type"), spellings("mcp")))
# Without any of these nothing matches, which is known in less time.
_PARTS = (b"mcp", b"\\u00")


class UnjudgedTools(Exception):
    """The tools are too long to be judged."""


def runs_tools(path: str, body: Body) -> bool:
    """True if a request to this path uses tools that run on LM Studio's machine. Raises UnjudgedTools."""
    name = _MEMBERS.get(path)
    value = None if name is None else body.value(name)
    if value is None or _NOTHING.fullmatch(value):
        return False
    if name == "integrations":
        return True
    if len(value) > JUDGED_BYTES:
        raise UnjudgedTools
    text = bytes(value)
    return any(part in text for part in _PARTS) and _MCP.search(text) is not None
