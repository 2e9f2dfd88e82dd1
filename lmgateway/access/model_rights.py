"""Whether a caller may use a model, and a body that the gateway can't read. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from ..boxes.listing import Listing
from ..caching import cached_for_short
from ..errors import BadRequest, ModelNotAllowed, ModelNotFound
from ..models.names import Resolved, near_keys
from ..schema.common import ModelType
from ..text import clean_name
from ..traffic.rewrite import Body
from ..traffic.tool_use import UnjudgedTools, runs_tools
from .callers import Caller

_JSON = ["application/json"]
_READS_UTF8 = ("utf-8", "utf8")
# Types that a server may read in another way than as JSON.
_OTHER_TYPES = ("multipart/", "application/x-www-form-urlencoded")


def check_model(caller: Caller, found: Resolved) -> None:
    """Raise ModelNotAllowed for a model outside the caller's globs."""
    if not caller.models.allow(found.model.key):
        raise ModelNotAllowed(f"The key {caller.name} may not use the model {clean_name(found.model.key)}.")


def no_such_model(
    caller: Caller, name: str, listing: Listing, kind: ModelType | None = None
) -> ModelNotFound:
    """Return the error for a name that LM Studio doesn't have, or would answer with any other model."""
    keys = {
        one.key: None
        for one in listing.models.values()
        if caller.models.allow(one.key) and (kind is None or one.type in {kind, None})
    }
    near = near_keys(name, keys)
    if caller.models.allow_all:
        hint = f"The nearest: {', '.join(near)}." if near else "GET /v1/models lists its models."
        return ModelNotFound(f"LM Studio has no model {clean_name(name)}. {hint}", details={"near": near})
    hint = f"The nearest it may use: {', '.join(near)}." if near else "GET /v1/models lists what it may use."
    sentence = f"LM Studio has no model {clean_name(name)} that answers the key {caller.name} here."
    return ModelNotFound(f"{sentence} {hint}", details={"near": near})


def check_body(caller: Caller, path: str, body: Body, content_types: Sequence[str]) -> None:
    """Raise BadRequest for a body that can't be judged, ScopeMissing for tools without the scope for them."""
    if caller.may_run_tools and caller.models.allow_all:
        return
    if body.fields is None or (content_types != _JSON and not all(map(_is_plain, content_types))):
        raise BadRequest(
            f"The key {caller.name} may not use everything, so the body must be a JSON object in UTF-8, sent "
            "as application/json."
        )
    if caller.may_run_tools:
        return
    try:
        is_tool_use = runs_tools(path, body)
    except UnjudgedTools as exc:
        raise BadRequest(
            f"The tools are too long to be checked, as the key {caller.name} lacks the scope tools."
        ) from exc
    if is_tool_use:
        caller.require("tools")


@cached_for_short
def _is_plain(content_type: str) -> bool:
    """True unless this type has another reading of the body's bytes than JSON in UTF-8."""
    kind, *parameters = content_type.lower().split(";")
    if kind.strip().startswith(_OTHER_TYPES):
        return False
    pairs = (parameter.partition("=") for parameter in parameters)
    return all(value.strip(" \t\"'") in _READS_UTF8 for name, _, value in pairs if name.strip() == "charset")
