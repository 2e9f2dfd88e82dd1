"""How a request that LM Studio refused is mended: pure functions.

LM Studio rejects parts of the APIs that it copies. Each of its refusals is recognised by its exact sentence,
and the request is sent again without the part that it was about. Everything else in the body stays byte for
byte the same. Sources: issues 670, 1383, 1810 and 2254 of lmstudio-bug-tracker, 537 of lms.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Raw, Struct

from ..schema.common import Mend
from .mend_tools import choose_tool, complete_chat_schemas, complete_response_schemas, leave_out_types
from .raw_json import Members, members, raw, text
from .surrogates import Masked, is_costly

# Returns the changed members, None if nothing changes.
Mender = Callable[[Members], Members | None]

MEND_BYTES = 8 * 1024**2
"""A longer body isn't mended: that would hold up other requests."""
# Neither is a body with more separators: decoding and encoding that many members takes 40 ms.
_MAX_SEPARATORS = 120_000
# A longer refusal isn't LM Studio's: it lists at most two issues for each tool.
_REFUSAL_BYTES = 256 * 1024

_CHATS = ("/v1/chat/completions", "/api/v0/chat/completions")
_RESPONSES = "/v1/responses"
_EMBEDDINGS = ("/v1/embeddings", "/api/v0/embeddings")

_OF_CHAT: Mapping[str, Mend] = {
    "Invalid tool_choice type: 'object'. Supported string values: none, auto, required": "tool_choice",
    "'response_format.type' must be 'json_schema' or 'text'": "json_object",
}
# Message, code and a pattern of `param`.
_OF_RESPONSES: tuple[tuple[str, str, str, Mend], ...] = (
    (
        "Invalid discriminator value. Expected 'function' | 'mcp'",
        "invalid_union_discriminator",
        r"tools\.[0-9]+\.type",
        "tool_types",
    ),
    ("Invalid", "invalid_string", r"tools\.[0-9]+\.type", "tool_types"),
    ("Invalid input", "custom", r"tools\.[0-9]+", "tool_schema"),
)
# The issues of zod, LM Studio's validator, about a tool's incomplete schema: the schema's member, zod's code
# and zod's message.
_OF_SCHEMAS = {
    ("type", "invalid_union_discriminator", "Invalid discriminator value. Expected 'object'"),
    ("properties", "invalid_type", "Required"),
}
_ONLY_TEXTS = "'input' field must be a string or an array of strings"
_SEND_TEXTS = (
    "LM Studio embeds texts, not lists of token numbers: 'input' must be a string or an array of strings. "
    "In LangChain, set check_embedding_ctx_length=False."
)

_NO_JSON = (msgspec.MsgspecError, ValueError, RecursionError)
_OBJECT = msgspec.json.Decoder(Members)
# The schema of any object; the name is required.
_ANY_OBJECT = Raw(b'{"name":"json_object","schema":{"type":"object"}}')


class _Error(Struct, frozen=True):
    message: str
    param: str | None = None
    code: str | int | None = None


class _Refusal(Struct, frozen=True):
    error: str | _Error


class _Issue(Struct, frozen=True):
    code: str
    message: str
    path: list[str | int]


_REFUSALS = msgspec.json.Decoder(_Refusal)
_ISSUES = msgspec.json.Decoder(list[_Issue])


def refused(path: str, status: int, body: bytes) -> Mend | None:
    """Return the mend for LM Studio's refusal, None if it isn't one of the known ones."""
    error = _refusal(status, body)
    if error is None:
        return None
    if path in _CHATS:
        return _OF_CHAT.get(error.message) or _about_schemas(error.message)
    if path == _RESPONSES:
        for message, code, param, mend in _OF_RESPONSES:
            if (error.message, error.code) == (message, code) and re.fullmatch(param, error.param or ""):
                return mend
    return None


def advice(path: str, status: int, body: bytes) -> str | None:
    """Return the sentence that says what to change in a client whose request can't be mended."""
    if path not in _EMBEDDINGS:
        return None
    error = _refusal(status, body)
    return _SEND_TEXTS if error is not None and error.message == _ONLY_TEXTS else None


def mended(mend: Mend, path: str, body: bytes) -> bytes | None:
    """Return the request's body with this mend, None if there is nothing to mend in it."""
    mender = _MENDERS.get((mend, path))
    if mender is None or len(body) > MEND_BYTES or body.count(b",") + body.count(b":") > _MAX_SEPARATORS:
        return None
    bare = body.removeprefix(BOM_UTF8)
    mark = body[: len(body) - len(bare)]
    try:
        changed = _changed(bare, mender)
    except _NO_JSON:  # perhaps because of a lone surrogate, which msgspec rejects
        if is_costly(bare):
            return None
        masked = Masked(bare)
        try:
            changed = masked.restore(_changed(masked.text, mender))
        except _NO_JSON:
            return None
    return mark + changed if changed else None


def _changed(body: bytes, mender: Mender) -> bytes:
    """Return the changed body, b"" if nothing changes. Raises as the functions of raw_json."""
    fields = mender(_OBJECT.decode(body))
    return b"" if fields is None else msgspec.json.encode(fields)


def _refusal(status: int, body: bytes) -> _Error | None:
    """Return LM Studio's error; of one that is only a sentence, the sentence."""
    if status != 400 or len(body) > _REFUSAL_BYTES:
        return None
    try:
        error = _REFUSALS.decode(body.removeprefix(BOM_UTF8)).error
    except _NO_JSON:
        return None
    return _Error(error) if isinstance(error, str) else error


def _about_schemas(text: str) -> Mend | None:
    """Return the mend if the text is zod's list of issues, and each is about a tool's incomplete schema."""
    try:
        issues = _ISSUES.decode(text)
    except _NO_JSON:
        return None
    known = all(_is_about_a_schema(issue) for issue in issues)
    return "tool_schema" if issues and known else None


def _is_about_a_schema(issue: _Issue) -> bool:
    match issue.path:
        case [int(), "function", "parameters", str(member)]:
            return (member, issue.code, issue.message) in _OF_SCHEMAS
    return False


def _allow_any_object(body: Members) -> Members | None:
    """Turn the format `json_object` into a JSON Schema of any object."""
    format_ = members(body.get("response_format"))
    if text(format_.get("type")) != "json_object":
        return None
    changed = {**format_, "type": Raw(b'"json_schema"'), "json_schema": _ANY_OBJECT}
    return {**body, "response_format": raw(changed)}


_MENDERS: Mapping[tuple[Mend, str], Mender] = {
    **dict.fromkeys((("tool_choice", path) for path in _CHATS), choose_tool),
    **dict.fromkeys((("json_object", path) for path in _CHATS), _allow_any_object),
    **dict.fromkeys((("tool_schema", path) for path in _CHATS), complete_chat_schemas),
    ("tool_types", _RESPONSES): leave_out_types,
    ("tool_schema", _RESPONSES): complete_response_schemas,
}
