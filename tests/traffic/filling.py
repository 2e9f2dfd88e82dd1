"""Filling in a body of bytes, as the stages read, choose and plan do."""

from __future__ import annotations

from lmgateway.schema.models import ActiveModel, DefaultInference
from lmgateway.traffic.dialects import Dialect
from lmgateway.traffic.rewrite import Body, Choice, Filled, is_empty, text_of
from lmgateway.traffic.rewrite import fill as fill_body
from lmgateway.traffic.short_body import ShortBody


def choice_of(body: Body, active: ActiveModel | None, profile: DefaultInference | None = None) -> Choice:
    """Return the choice for a caller without rights or defaults of its own."""
    value = (body.fields or {}).get("model")
    named = text_of(value)
    defaults = (profile, None if active is None else active.default_inference)
    sources = tuple(source for source in defaults if source is not None)
    if active is None or (value is not None and not is_empty(value)):
        return Choice(named, None, sources)
    return Choice(active.name, active.name, sources)


def fill(
    body: bytes | Body,
    dialect: Dialect,
    active: ActiveModel | None,
    profile: DefaultInference | None = None,
    *,
    account_streams: bool = False,
) -> Filled:
    decoded = ShortBody.decoded(body) if isinstance(body, bytes) else body
    return fill_body(decoded, dialect, choice_of(decoded, active, profile), account_streams=account_streams)
