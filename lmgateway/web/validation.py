"""Validation of JSON bodies: all mistakes, each with its path."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from ..errors import Mistake
from . import allowed_values

# A bound, because the search for similar names takes time for each mistake.
MAX_MISTAKES = 20
# A longer name isn't compared, and is cut off in a mistake's path.
MAX_NAME_LENGTH = 64
MAX_SENTENCE_LENGTH = 256
_NO_CHOICE = "Invalid enum value"
_NO_NUMBER = re.compile("Expected `(?:int|float|bool)`, got ")
_NO_MATCH = "Expected `str` matching regex"
_MSGSPEC_PATH = re.compile(r" - at `\$(?P<path>[^`]*)`\Z")


def mistakes(value: object, kind: type[Struct]) -> list[Mistake]:
    """Return the first MAX_MISTAKES mistakes in a decoded body; msgspec stops at the first one."""
    first = islice(_struct_mistakes(value, kind, ""), MAX_MISTAKES)
    return [Mistake(path=path, message=message) for path, message in first]


def _struct_mistakes(value: object, kind: type[Struct], path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        yield path, f"Expected an object, got {_name(value)}"
        return
    known = {info.encode_name: info for info in fields(kind)}
    hints = get_type_hints(kind, include_extras=True)
    for name in (name for name in value if name not in known):
        yield _join(path, name), f"Unknown field; {suggestion(name, known)}"
    for name, info in known.items():
        if name in value:
            yield from _value_mistakes(value[name], hints[info.name], _join(path, name))
        elif info.required:
            yield _join(path, name), "Required, and missing"


def suggestion(name: str, known: Collection[str]) -> str:
    """Return the known name that is most similar to an unknown one, or else all of them."""
    near = get_close_matches(name, known, n=1) if len(name) <= MAX_NAME_LENGTH else ()
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def _value_mistakes(value: object, kind: Any, path: str) -> Iterator[tuple[str, str]]:
    base = _unwrapped(kind)
    if isinstance(base, type) and issubclass(base, Struct) and isinstance(value, Mapping):
        yield from _struct_mistakes(value, base, path)
        return
    has_mistakes = False
    if get_origin(base) is tuple and isinstance(value, list):
        for index, item in enumerate(value):
            for mistake in _value_mistakes(item, get_args(base)[0], f"{path}[{index}]"):
                has_mistakes = True
                yield mistake
    if not has_mistakes:
        yield from _own_mistakes(value, kind, path)


def _own_mistakes(value: object, kind: Any, path: str) -> Iterator[tuple[str, str]]:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as exc:
        mistake = mistake_of(exc)
        sentence = mistake["message"]
        if sentence.startswith(_NO_CHOICE):
            choices = [*_choices(kind), *filter(None, [allowed_values.in_words(kind)])]
            sentence += f"; there are {', '.join(choices)}"
        elif _NO_NUMBER.match(sentence):
            allowed = allowed_values.in_words(kind)
            sentence += f"; write {allowed}" if allowed else ""
        elif sentence.startswith(_NO_MATCH):
            sentence = _described_form(kind) or sentence
        yield path + mistake["path"], sentence


def mistake_of(exc: msgspec.ValidationError) -> Mistake:
    """Split msgspec's message into its sentence and the path at its end."""
    # The message is about another value, so that null is allowed too isn't helpful.
    sentence = str(exc).replace(" | null`", "`")
    match = _MSGSPEC_PATH.search(sentence)
    path = "" if match is None else match["path"].removeprefix(".")
    sentence = sentence if match is None else sentence[: match.start()]
    # It may quote a name or a word of the body.
    if len(sentence) > MAX_SENTENCE_LENGTH:
        sentence = f"{sentence[:MAX_SENTENCE_LENGTH]}…"
    return Mistake(path=path, message=sentence)


def is_about_a_fraction(exc: msgspec.ValidationError) -> bool:
    """True if the error is a number with a fraction, which may be .0, where an integer is expected."""
    return mistake_of(exc)["message"].endswith("got `float`")


def with_whole_numbers(value: Any) -> Any:
    """Return the JSON value with numbers such as 8192.0 as integers."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [with_whole_numbers(item) for item in value]
        case dict():
            return {name: with_whole_numbers(item) for name, item in value.items()}
    return value


def _unwrapped(kind: Any) -> Any:
    """Return the type without Annotated and `| None`; another union is returned as it is."""
    if get_origin(kind) is Annotated:
        return _unwrapped(get_args(kind)[0])
    if get_origin(kind) in {Union, UnionType}:
        others = [part for part in get_args(kind) if part is not type(None)]
        return _unwrapped(others[0]) if len(others) == 1 else kind
    return kind


def _choices(kind: Any) -> list[str]:
    """Return the values of the Literals in a type."""
    if get_origin(kind) is Literal:
        return [str(word) for word in get_args(kind)]
    return [word for part in get_args(kind) for word in _choices(part)]


def _described_form(kind: Any) -> str | None:
    """Return the description beside a type's regular expression, as a mistake; None if it has none."""
    for part in (kind, *get_args(kind)):
        for meta in getattr(part, "__metadata__", ()):
            if meta.pattern is not None and meta.description is not None:
                return f"Expected {meta.description[0].lower()}{meta.description[1:].rstrip('.')}"
    return None


def _join(path: str, name: str) -> str:
    if len(name) > MAX_NAME_LENGTH:
        name = f"{name[:MAX_NAME_LENGTH]}…"
    return f"{path}.{name}" if path else name


def _name(value: object) -> str:
    return {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )
