"""What the gateway fills into a request's JSON body: the model and default parameters.

Pure functions. The client's fields are preserved byte for byte: order, spelling of numbers, unknown fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct

from ..schema.models import DefaultInference
from .dialects import DIALECTS, Dialect
from .long_body import VALUE_BYTES, LongBody, Parts
from .short_body import ShortBody
from .wanted_members import WantedMembers

# A body whose members are decoded. Both kinds have `fields`, which is None if it isn't a JSON object,
# `value(name)`, a member's complete value, and `with_members(added)`, the body with these members.
Body = ShortBody | LongBody

# msgspec raises UnicodeDecodeError only when it decodes the string that isn't UTF-8.
_NO_TEXT = (msgspec.MsgspecError, UnicodeDecodeError)
_EMPTY = (b"null", b'""')
_TRUE = Raw(b"true")
_MEMBERS = msgspec.json.Decoder(dict[str, Raw])
_TEXT = msgspec.json.Decoder(str)

# A parameter that a client may send under a newer name.
SYNONYMS = {"max_tokens": "max_completion_tokens"}
# The members that are looked at: here, by the checks of rights, by the line before the GPU, and by the digest
# of a conversation.
WANTED = WantedMembers(
    {
        *("model", "stream", "stream_options", *SYNONYMS.values()),
        *("tools", "integrations", "previous_response_id", "service_tier"),
        *("messages", "system", "input", "instructions", "system_prompt", "prompt"),
        *(dialect.reloads for dialect in DIALECTS.values() if dialect.reloads is not None),
    }.union(*(dialect.parameters.values() for dialect in DIALECTS.values()))
)


# A longer body is scanned in pieces, with other requests in between. Decoding a megabyte takes up to 4 ms,
# scanning it up to 40.
_DECODED_BYTES = 2 * 1024**2


class Choice(Struct, frozen=True, gc=False):
    """What a request lacks. `model` is the name that it goes to; `named` is the name that its body gets.

    `named` is None if the body keeps its own. `defaults` are the sources of parameters, the first one first.
    `key` is the model's key, and `instance` the identifier of the only instance that may answer; they are
    only known where the gateway decides which models are in memory.
    """

    model: str | None = None
    named: str | None = None
    defaults: tuple[DefaultInference, ...] = ()
    key: str | None = None
    instance: str | None = None


class Source(NamedTuple):
    """What a long body was made of. It takes no memory that the body's parts don't take."""

    body: LongBody
    added: Mapping[str, object]
    without: str | None


class Filled(Struct, frozen=True, gc=False):
    """A body for LM Studio, and what it requests.

    `streaming`: it requests a stream. `asks_usage`: the gateway added a request for the stream's usage.
    `ignored` are the members that were left out. `source` is what a long body was made of.
    """

    body: bytes | Parts
    streaming: bool = False
    asks_usage: bool = False
    ignored: tuple[str, ...] = ()
    source: Source | None = None


def fill(
    body: Body,
    dialect: Dialect,
    choice: Choice,
    *,
    account_streams: bool = False,
    without: str | None = None,
) -> Filled:
    """Return the body with the chosen model, and default parameters where the client left them out.

    With `account_streams`, usage is requested of every stream. A member `without` is left out. A body that
    isn't a JSON object is returned unchanged.
    """
    fields = body.fields
    if fields is None:
        return Filled(body.with_members({}))
    added: dict[str, object] = {}
    if choice.named is not None:
        added["model"] = choice.named
    for defaults in choice.defaults:
        _add_defaults(added, fields, dialect, defaults)
    streaming = added.get("stream") is True or fields.get("stream") == _TRUE
    asks_usage = False
    if streaming and account_streams and dialect.usage_on_request:
        options = _with_usage(fields.get("stream_options"))
        if options is not None:
            added["stream_options"], asks_usage = options, True
    if without not in fields:
        without = None
    return Filled(
        body.with_members(added, without=without),
        streaming,
        asks_usage,
        () if without is None else (without,),
        None if isinstance(body, ShortBody) else Source(body.with_fields("model"), added, without),
    )


def may_rename(model: Raw | None) -> bool:
    """True if a body with this `model` may get another one: LM Studio refuses what isn't a text."""
    return model is None or is_empty(model) or text_of(model) is not None


def is_empty(value: Raw) -> bool:
    """True for null and for an empty string."""
    return bytes(value) in _EMPTY


def text_of(value: Raw | bytes | memoryview | None) -> str | None:
    """Return a JSON string's text; None for anything else, also for one with a lone surrogate."""
    try:
        return None if value is None else _TEXT.decode(value)
    except _NO_TEXT:
        return None


def decode_long(
    text: bytes | bytearray, is_alias: Callable[[str], bool], without: str | None = None
) -> LongBody | None:
    """Decode a body at once, for `fill`. None if it has to be scanned in pieces instead.

    `is_alias`: whether a model of this name gets another one. `without` as for `fill`.
    """
    if len(text) > _DECODED_BYTES:
        return None
    try:
        fields = WANTED.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return None  # malformed, or it has a byte order mark or a lone surrogate
    model, options = fields.get("model", _TRUE), fields.get("stream_options", _TRUE)
    if max(len(model), len(options)) > VALUE_BYTES:
        return None
    if is_empty(model) or is_alias(text_of(model) or "") or _with_usage(options) is not None:
        return None  # it may get a new value, and the decoder doesn't tell its place
    if without in fields:
        return None
    return LongBody.decoded(text, fields)


def _with_usage(options: Raw | None) -> dict[str, object] | None:
    """Return the options with usage requested; None if they request it already or aren't an object."""
    if options is None or bytes(options) == b"null":
        return {"include_usage": True}
    try:
        fields = _MEMBERS.decode(options)
    except _NO_TEXT:
        return None
    if fields.get("include_usage") == _TRUE:
        return None
    return {**fields, "include_usage": True}


def _add_defaults(
    added: dict[str, object], fields: Mapping[str, Raw], dialect: Dialect, defaults: DefaultInference
) -> None:
    """Add the parameters that neither the client nor an earlier source has set."""
    parameters = _parameters(dialect, defaults)
    if parameters.names.isdisjoint(fields) and parameters.names.isdisjoint(added):
        added.update(parameters.values)  # most requests set none: 1 µs less
        return
    for name, value in parameters.values.items():
        if not (name in fields or SYNONYMS.get(name, name) in fields or name in added):
            added[name] = value


class _Parameters(NamedTuple):
    """Parameters by their names in one API; `names` has their other names too."""

    values: Mapping[str, object]
    names: frozenset[str]


@lru_cache(maxsize=64)  # most requests have the same: 1 µs less
def _parameters(dialect: Dialect, defaults: DefaultInference) -> _Parameters:
    """Return the parameters that are set."""
    named = {name: getattr(defaults, attribute) for attribute, name in dialect.parameters.items()}
    values = {name: value for name, value in named.items() if value is not None}
    return _Parameters(values, frozenset(values) | {SYNONYMS.get(name, name) for name in values})
