"""What the gateway fills into a request's JSON body: the active model and its default parameters.

Pure functions. The client's fields are preserved byte for byte: order, spelling of numbers, unknown fields.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

import msgspec
from msgspec import Raw, Struct

from ..schema.models import ActiveModel, DefaultInference
from .dialects import DIALECTS, Dialect
from .long_body import VALUE_BYTES, LongBody, Parts
from .surrogates import Masked
from .wanted_members import WantedMembers

# msgspec raises UnicodeDecodeError only when it decodes the string that isn't UTF-8.
_NO_TEXT = (msgspec.MsgspecError, UnicodeDecodeError)
NO_PROFILES: Mapping[str, DefaultInference] = MappingProxyType({})
_EMPTY = (b"null", b'""')
_TRUE = Raw(b"true")
_MEMBERS = msgspec.json.Decoder(dict[str, Raw])

# A parameter that a client may send under a newer name.
_SYNONYMS = {"max_tokens": "max_completion_tokens"}
# The members that `fill` looks at.
WANTED = WantedMembers(
    {"model", "stream", "stream_options", *_SYNONYMS.values()}.union(
        *(dialect.parameters.values() for dialect in DIALECTS.values())
    )
)


# A longer body is scanned in pieces, with other requests in between. Decoding a megabyte takes up to 4 ms,
# scanning it up to 40.
_DECODED_BYTES = 2 * 1024**2


class Filled(Struct, frozen=True, gc=False):
    """A body for LM Studio, and what it requests.

    `streaming`: it requests a stream. `asks_usage`: the gateway added a request for the stream's usage.
    """

    body: bytes | Parts
    model: str | None = None
    streaming: bool = False
    asks_usage: bool = False


def fill(
    body: bytes | LongBody,
    dialect: Dialect,
    active: ActiveModel | None,
    profiles: Mapping[str, DefaultInference] = NO_PROFILES,
    *,
    account_streams: bool = False,
) -> Filled:
    """Return the body with the active model and default parameters where the client left them out.

    Each parameter is taken from the profile of the request's model, else from the active model; `profiles`
    are by model key. With `account_streams`, usage is requested of every stream. A body that isn't a JSON
    object is returned unchanged, so that LM Studio rejects it.
    """
    if isinstance(body, LongBody):
        fields = body.fields
        if fields is None:
            return Filled(body.with_members({}))
    else:
        try:
            fields = _MEMBERS.decode(body)
        except (*_NO_TEXT, RecursionError):
            return _fill_odd(body, dialect, active, profiles, account_streams=account_streams)
    added: dict[str, object] = {}
    named = fields.get("model")
    model = _text(named)
    if active is not None and (named is None or bytes(named) in _EMPTY):
        added["model"] = model = active.name
    if profiles and (profile := _profile(model, active, profiles)) is not None:
        _add_defaults(added, fields, dialect, profile)
    if active is not None:
        _add_defaults(added, fields, dialect, active.default_inference)
    streaming = added.get("stream") is True or fields.get("stream") == _TRUE
    asks_usage = False
    if streaming and account_streams and dialect.usage_on_request:
        options = _with_usage(fields.get("stream_options"))
        if options is not None:
            added["stream_options"], asks_usage = options, True
    return Filled(_merge(body, fields, added), model, streaming, asks_usage)


def decode_long(text: bytes | bytearray) -> LongBody | None:
    """Decode a body at once, for `fill`. None if it has to be scanned in pieces instead."""
    if len(text) > _DECODED_BYTES:
        return None
    try:
        fields = WANTED.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return None  # malformed, or it has a byte order mark or a lone surrogate
    model, options = fields.get("model", _TRUE), fields.get("stream_options", _TRUE)
    if max(len(model), len(options)) > VALUE_BYTES:
        return None
    if bytes(model) in _EMPTY or _with_usage(options) is not None:
        return None  # it may get a new value, and the decoder doesn't tell its place
    return LongBody.decoded(text, fields)


def _fill_odd(
    body: bytes,
    dialect: Dialect,
    active: ActiveModel | None,
    profiles: Mapping[str, DefaultInference],
    *,
    account_streams: bool,
) -> Filled:
    """As `fill`, for a short body that msgspec rejects."""
    if body.startswith(BOM_UTF8):  # RFC 8259 section 8.1 lets a reader ignore it
        text = body.removeprefix(BOM_UTF8)
        filled = fill(text, dialect, active, profiles, account_streams=account_streams)
        return msgspec.structs.replace(filled, body=body) if filled.body == text else filled
    masked = Masked(body)
    if not masked:
        return Filled(body)
    filled = fill(masked.text, dialect, active, profiles, account_streams=account_streams)
    return msgspec.structs.replace(filled, body=masked.restore(cast("bytes", filled.body)))


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


def _text(value: Raw | None) -> str | None:
    """Return a JSON string's text; None for anything else."""
    try:
        return None if value is None else msgspec.json.decode(value, type=str)
    except _NO_TEXT:
        return None


def _profile(
    model: str | None, active: ActiveModel | None, profiles: Mapping[str, DefaultInference]
) -> DefaultInference | None:
    """Return the profile of the named model; `model` is a model key or the active instance's identifier."""
    if model is None:
        return None
    profile = profiles.get(model)
    if profile is None and active is not None and model == active.name:
        return profiles.get(active.model_key)
    return profile


def _add_defaults(
    added: dict[str, object], fields: Mapping[str, Raw], dialect: Dialect, defaults: DefaultInference
) -> None:
    """Add the parameters that neither the client nor an earlier source has set."""
    for attribute, name in dialect.parameters.items():
        value = getattr(defaults, attribute)
        if value is None or name in fields or name in added or _SYNONYMS.get(name) in fields:
            continue
        added[name] = value


def _merge(body: bytes | LongBody, fields: Mapping[str, Raw], added: Mapping[str, object]) -> bytes | Parts:
    if isinstance(body, LongBody):
        return body.with_members(added)
    if not added:
        return body
    if not fields.keys().isdisjoint(added):  # the client sent an empty model name, which is replaced
        return msgspec.json.encode({**fields, **added})
    # Inserted after the opening brace, so that the client's bytes stay unchanged.
    members = msgspec.json.encode(added)[1:-1]
    start = body.index(b"{") + 1
    return b"".join((body[:start], members, b"," if fields else b"", memoryview(body)[start:]))
