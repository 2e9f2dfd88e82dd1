"""One setting: its type, and how a person reads and writes its value."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from ..config import Table, decode_custom
from ..networks import Networks

_NOUNS = {int: "whole number", float: "number", str: "text"}


class Setting(Struct, frozen=True):
    """One leaf of the configuration.

    `env`: the environment variables that set it, the strongest first. `allowed` completes "allowed is …".
    """

    type: Any
    default: object
    env: tuple[str, ...]
    secret: bool
    allowed: str

    def convert(self, value: object, *, text: bool) -> object:
        """Return the value as its type; from `text` sources, where everything is a string, leniently.

        Raises msgspec.ValidationError, UnicodeEncodeError.
        """
        if isinstance(value, str) and not self.secret:
            value = self._normalized(value.strip())
        converted = msgspec.convert(value, self.type, strict=not text, dec_hook=decode_custom)
        # Neither can be sent as JSON: infinities, which TOML has, and the text "null", which msgspec reads.
        if converted is None or (isinstance(converted, float) and not math.isfinite(converted)):
            raise msgspec.ValidationError("no value that can be set")
        if isinstance(converted, tuple):
            self.literal(converted)  # raises for bytes that were no text, which can't be sent either
        return converted

    def _normalized(self, text: str) -> object:
        kinds = [kind for kind, _ in alternatives(self.type)]
        if any(get_origin(kind) is tuple or _is_networks(kind) for kind in kinds):
            return [part.strip() for part in text.split(",") if part.strip()]
        words = [word for kind in kinds for word in _words(kind)]
        return next((word for word in words if word.lower() == text.lower()), text)

    def show(self, value: object) -> str:
        """Return the value as `lmgateway check` prints it, and as TOML would write it."""
        if self.secret:
            return '"********"' if value else '""'
        return "not set" if value is None else self.literal(value)

    def literal(self, value: object) -> str:
        """Return the value, a secret too, as TOML writes it, which is as JSON does for all that there are."""
        return msgspec.json.encode(value, enc_hook=_plain).decode()

    def complain(self, value: object, reason: BaseException) -> str:
        """Return what is wrong with the value. A secret, or a password in a URL, is not repeated."""
        if self.secret:
            return f"found something else (not shown), allowed is {self.allowed}"
        found = str(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False, default=str)
        # A user name and password, wherever somebody put them; and bytes that were no text.
        found = re.sub("^(.*//)?.*@", r"\1********@", found).encode("utf-8", "backslashreplace").decode()
        # The cause is what a decoder of ours objected to; msgspec's own words only repeat what is allowed.
        because = f" ({reason.__cause__})" if reason.__cause__ else ""
        return f"found {found}{because}, allowed is {self.allowed}"


def make_setting(annotation: Any, default: object, *, table: type[Struct], is_named: bool) -> Setting:
    """Return the setting for a field of a table; in a named one it has no environment variable."""
    metas = next(metas for _, metas in alternatives(annotation))
    extra = {key: value for meta in metas for key, value in (meta.extra or {}).items()}
    # The description of a type of the configuration says what is allowed; of an API's field, what it is for.
    described = [meta.description for meta in metas if meta.description] if issubclass(table, Table) else []
    return Setting(
        type=annotation,
        default=default,
        env=() if is_named else extra.get("env", ()),
        secret=extra.get("secret", False),
        allowed=described[0] if described else _described(annotation),
    )


def _plain(value: object) -> object:
    return value.entries if isinstance(value, Networks) else str(value)


def _is_networks(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Networks)


def alternatives(annotation: Any, outer: tuple[Meta, ...] = ()) -> Iterator[tuple[Any, tuple[Meta, ...]]]:
    """Yield each type below Annotated and unions but None, with every Meta above it, the outermost first."""
    if get_origin(annotation) is Annotated:
        inner, *metas = get_args(annotation)
        yield from alternatives(inner, (*outer, *(meta for meta in metas if isinstance(meta, Meta))))
    elif get_origin(annotation) in {Union, UnionType}:
        for part in get_args(annotation):
            yield from alternatives(part, outer)
    elif annotation is not NoneType:
        yield annotation, outer


def _words(kind: Any) -> tuple[str, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()


def _described(annotation: Any) -> str:
    """Return what a type allows: `a number from 0 to 1, max or off`."""
    choices: list[str] = []
    for kind, metas in alternatives(annotation):
        if get_origin(kind) is tuple:
            [(item, item_metas)] = alternatives(get_args(kind)[0])
            choices.append(f"a list of {_NOUNS[item]}s{_bounds(item_metas)}")
        elif kind is bool:
            choices += ("true", "false")
        elif kind is str:
            choices.append(_NOUNS[kind])
        else:
            choices += _words(kind) or (f"a {_NOUNS[kind]}{_bounds(metas)}",)
    *first, last = choices
    return f"{', '.join(first)} or {last}" if first else last


def _bounds(metas: tuple[Meta, ...]) -> str:
    limits = {
        name: str(limit).removesuffix(".0")
        for meta in metas
        for name in ("ge", "gt", "le")
        if (limit := getattr(meta, name)) is not None
    }
    if "gt" in limits:
        return f" above {limits['gt']}"
    if "ge" not in limits:
        return ""
    return f" from {limits['ge']} to {limits['le']}" if "le" in limits else f" from {limits['ge']} up"
