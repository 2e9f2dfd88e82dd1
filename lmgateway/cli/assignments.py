"""Options such as `--with gpu.ratio=0.5`, which set the members of a JSON object."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from .failures import EX_DATAERR, EX_USAGE, RequestFailed


def json_or_text(text: str) -> Any:
    """Return the value of a JSON text; another text as it is, such as `Infinity`, which isn't JSON."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return text


def assigned_values(
    option: str, items: Iterable[str], read: Callable[[str], Any] = json_or_text
) -> dict[str, Any]:
    """Return `contextLength=8192` and `gpu.ratio=0.5` as a JSON object. Raises RequestFailed."""
    config: dict[str, Any] = {}
    for item in items:
        path, equals, text = item.partition("=")
        if not equals:
            raise RequestFailed(f"{option} {item}: write NAME=VALUE", EX_USAGE)
        *tables, name = path.split(".")
        table = config
        for step in tables:
            table = table.setdefault(step, {})
            if not isinstance(table, dict):
                raise RequestFailed(f"{option} {item}: {step} already has a value", EX_DATAERR)
        table[name] = read(text)
    return config
