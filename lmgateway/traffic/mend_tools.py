"""How the tools of a refused request are mended."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Raw

from .raw_json import Members, items, members, raw, text

MAX_TOOLS = 8192
"""The schemas of more tools aren't completed: that takes 4 µs each, in which other requests wait."""
_SCHEMA = msgspec.json.Decoder(Members | None)
_KNOWN_TYPES = frozenset({"function", "mcp"})
_NULL = Raw(b"null")
_NO_PARAMETERS = {"type": Raw(b'"object"'), "properties": Raw(b"{}")}


def choose_tool(body: Members) -> Members | None:
    """Leave only the tool that `tool_choice` names, and require a tool."""
    name = _function_name(body.get("tool_choice"))
    if name is None:
        return None
    for tool in items(body.get("tools")):
        if _function_name(tool) == name:
            only = Raw(b"[%s]" % bytes(tool))
            return {**body, "tools": only, "tool_choice": Raw(b'"required"')}
    return None


def _function_name(tool: Raw | None) -> str | None:
    return text(members(members(tool).get("function")).get("name"))


def leave_out_types(body: Members) -> Members | None:
    """Leave out the tools of unknown types; of a namespace, its functions stay."""
    offered = items(body.get("tools"))
    tools: list[Raw] = []
    for tool in offered:
        fields = members(tool)
        kind = text(fields.get("type"))
        if kind in _KNOWN_TYPES:
            tools.append(tool)
        elif kind == "namespace":
            inner = items(fields.get("tools"))
            tools += (each for each in inner if text(members(each).get("type")) == "function")
    if tools == offered:
        return None
    if not tools:
        return {name: value for name, value in body.items() if name not in {"tools", "tool_choice"}}
    changed = {**body, "tools": raw(tools)}
    choice = members(body.get("tool_choice"))
    remaining = set(map(_identity, tools))
    if choice and not all(_identity(each) in remaining for each in _choices(choice, body["tool_choice"])):
        changed["tool_choice"] = Raw(b'"auto"')
    return changed


def _choices(choice: Members, itself: Raw) -> list[Raw]:
    """Return the tools of which the model may choose one."""
    return items(choice.get("tools")) if text(choice.get("type")) == "allowed_tools" else [itself]


def _identity(tool: Raw) -> tuple[str | None, str | None]:
    """Return what a tool and a choice of it have in common."""
    fields = members(tool)
    kind = text(fields.get("type"))
    return kind, text(fields.get("name")) if kind == "function" else None


def complete_chat_schemas(body: Members) -> Members | None:
    return _with_each_tool(body, lambda tool: _with_member(tool, "function", _complete_function))


def complete_response_schemas(body: Members) -> Members | None:
    return _with_each_tool(body, _complete_function)


def _with_each_tool(body: Members, change: Callable[[Raw], Raw]) -> Members | None:
    offered = items(body.get("tools"))
    if len(offered) > MAX_TOOLS:
        return None
    tools = [change(tool) if text(members(tool).get("type")) == "function" else tool for tool in offered]
    return None if tools == offered else {**body, "tools": raw(tools)}


def _with_member(value: Raw, name: str, change: Callable[[Raw], Raw]) -> Raw:
    fields = members(value)
    changed = change(fields.get(name, _NULL))
    return value if changed == fields.get(name, _NULL) else raw({**fields, name: changed})


def _complete_function(function: Raw) -> Raw:
    """Complete the schema of the function's parameters with a type and properties."""
    fields = members(function)
    try:
        schema = _SCHEMA.decode(fields.get("parameters", _NULL)) or {}
    except msgspec.ValidationError:
        return function
    missing = {name: value for name, value in _NO_PARAMETERS.items() if schema.get(name, _NULL) == _NULL}
    return raw({**fields, "parameters": raw({**schema, **missing})}) if missing and fields else function
