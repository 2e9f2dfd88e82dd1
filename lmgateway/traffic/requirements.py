"""What a body asks for beside its prompt: what it continues, how long the answer may be, its priority."""

from __future__ import annotations

from collections.abc import Iterable

from ..schema.models import DefaultInference
from ..untrusted import MAX_COUNT, parse_number, whole
from .dialects import Dialect
from .rewrite import SYNONYMS, Body, is_empty, text_of


def most_tokens(body: Body, dialect: Dialect, defaults: Iterable[DefaultInference] = ()) -> int | None:
    """Return the most tokens that LM Studio may generate, None if the request has no limit.

    `defaults` are those that `rewrite.fill` fills in, the first one first. Of two names in one body, the
    larger number counts: releases of LM Studio differ in the name that they read.
    """
    name, fields = dialect.parameters.get("max_tokens"), body.fields or {}
    if name is None:
        return None
    asked = [fields[one] for one in (name, SYNONYMS.get(name, name)) if one in fields]
    if not asked:
        return next((one.max_tokens for one in defaults if one.max_tokens is not None), None)
    limits = [whole(parse_number(bytes(value)), 1, MAX_COUNT) for value in asked if not is_empty(value)]
    known = [limit for limit in limits if limit is not None]
    return max(known, default=None) if len(known) == len(limits) else None


def previous_response(body: Body, dialect: Dialect) -> str | None:
    """Return the id of the response that the request continues, None if it continues none."""
    return text_of((body.fields or {}).get("previous_response_id")) if dialect.continues else None


def is_flexible(body: Body) -> bool:
    """True for a request that lets interactive ones go first, in the words of OpenAI's API."""
    tier = (body.fields or {}).get("service_tier")
    return tier is not None and text_of(tier) == "flex"
