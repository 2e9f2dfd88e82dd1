"""What is wrong with a JSON body: every mistake, each with its path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct
from msgspec.structs import fields

_MSGSPEC_PATH = re.compile(r" - at `\$(?P<path>[^`]*)`\Z")


def mistakes(value: object, kind: type[Struct]) -> list[dict[str, str]]:
    """Return `{"path", "message"}` for each mistake in a decoded body; msgspec itself stops at the first."""
    return [{"path": path, "message": message} for path, message in _struct_mistakes(value, kind, "")]


def _struct_mistakes(value: object, kind: type[Struct], path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        yield path, f"Expected an object, got {_name(value)}"
        return
    known = {info.encode_name: info for info in fields(kind)}
    hints = get_type_hints(kind, include_extras=True)
    for name in value.keys() - known.keys():
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        yield _join(path, name), f"Unknown field; {hint}"
    for name, info in known.items():
        if name in value:
            yield from _value_mistakes(value[name], hints[info.name], _join(path, name))
        elif info.required:
            yield _join(path, name), "Required, and missing"


def _value_mistakes(value: object, kind: Any, path: str) -> Iterator[tuple[str, str]]:
    nested = _nested_struct(kind)
    if nested is not None and isinstance(value, Mapping):
        yield from _struct_mistakes(value, nested, path)
        return
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as exc:
        found = _MSGSPEC_PATH.search(str(exc))
        deeper = found["path"] if found else ""
        yield path + deeper, str(exc)[: found.start() if found else None]


def _nested_struct(kind: Any) -> type[Struct] | None:
    """Return the Struct below `| None` and Annotated, if it is one."""
    if get_origin(kind) in {Annotated, Union, UnionType}:
        return next(filter(None, map(_nested_struct, get_args(kind))), None)
    return kind if isinstance(kind, type) and issubclass(kind, Struct) else None


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _name(value: object) -> str:
    return {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )
