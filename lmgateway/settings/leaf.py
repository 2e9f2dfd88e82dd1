"""One setting: its type, and the parsing and formatting of its value."""

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

    `env`: the environment variables that set it, the strongest first. `expected` completes "expected …".
    """

    type: Any
    default: object
    env: tuple[str, ...]
    secret: bool
    expected: str

    def convert(self, value: object, *, text: bool) -> object:
        """Return the value as its type. `text`: the source has only strings, so numbers are parsed from them.

        Raises msgspec.ValidationError, UnicodeEncodeError.
        """
        if isinstance(value, str) and not self.secret:
            value = self._normalized(value.strip())
        converted = msgspec.convert(value, self.type, strict=not text, dec_hook=decode_custom)
        # JSON can't express infinities, which TOML allows. msgspec reads the text "null" as None.
        if converted is None or (isinstance(converted, float) and not math.isfinite(converted)):
            raise msgspec.ValidationError("no value that can be set")
        if isinstance(converted, tuple):
            self.literal(converted)  # raises UnicodeEncodeError for bytes that aren't UTF-8
        return converted

    def _normalized(self, text: str) -> object:
        kinds = [kind for kind, _ in alternatives(self.type)]
        if any(get_origin(kind) is tuple or _is_networks(kind) for kind in kinds):
            return [part.strip() for part in text.split(",") if part.strip()]
        words = [word for kind in kinds for word in _words(kind)]
        return next((word for word in words if word.lower() == text.lower()), text)

    def show(self, value: object) -> str:
        """Return the value in TOML's syntax, as `lmgateway check` prints it. Hides a secret."""
        if self.secret:
            return '"********"' if value else '""'
        return "not set" if value is None else self.literal(value)

    def literal(self, value: object) -> str:
        """Return the value in TOML's syntax, which equals JSON's for all settings. Doesn't hide a secret."""
        return msgspec.json.encode(value, enc_hook=_plain).decode()

    def complain(self, value: object, reason: BaseException) -> str:
        """Return a message about an invalid value. Hides a secret, and a password in a URL."""
        if self.secret:
            return f"invalid value (not shown), expected {self.expected}"
        shown = str(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False, default=str)
        # Hides a user name and password; escapes bytes that aren't UTF-8.
        shown = re.sub("^(.*//)?.*@", r"\1********@", shown).encode("utf-8", "backslashreplace").decode()
        # Our own decoders raise a cause. Without one, msgspec's message only repeats what is expected.
        because = f" ({reason.__cause__})" if reason.__cause__ else ""
        return f"invalid value {shown}{because}, expected {self.expected}"


def make_setting(annotation: Any, default: object, *, table: type[Struct], is_named: bool) -> Setting:
    """Return the setting for a table's field. In a named table it has no environment variable."""
    metas = next(metas for _, metas in alternatives(annotation))
    extra = {key: value for meta in metas for key, value in (meta.extra or {}).items()}
    # The description of a configuration's type says what is expected; that of an API's field doesn't.
    described = [meta.description for meta in metas if meta.description] if issubclass(table, Table) else []
    return Setting(
        type=annotation,
        default=default,
        env=() if is_named else extra.get("env", ()),
        secret=extra.get("secret", False),
        expected=described[0] if described else _described(annotation),
    )


def _plain(value: object) -> object:
    return value.entries if isinstance(value, Networks) else str(value)


def _is_networks(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Networks)


def alternatives(annotation: Any, outer: tuple[Meta, ...] = ()) -> Iterator[tuple[Any, tuple[Meta, ...]]]:
    """Yield each type except None in an annotation, with its Metas, the outermost first."""
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
    """Describe a type's values: `a number from 0 to 1, max or off`."""
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
