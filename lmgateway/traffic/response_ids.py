"""The id of a response that can be continued, in its body or in an event of its stream."""

from __future__ import annotations

from msgspec import Struct

from ..observe.tokens import TokenCount
from ..untrusted import decoded
from .surrogates import masked_text


class _Nested(Struct):
    id: str | None = None
    response_id: str | None = None


class _Payload(_Nested):
    """A body of `/v1/responses` (`id`) or `/api/v1/chat` (`response_id`), or an event with such a body."""

    response: _Nested | None = None
    result: _Nested | None = None


def announce_response(data: bytes, figures: TokenCount) -> None:
    """Call `figures.on_response`, if there is one, with the response's id, if it is known by now.

    The data whose figures were just read may have the id, or other data before.
    """
    if figures.on_response is None:
        return
    figures.response_id = id_in(data) or figures.response_id
    if figures.response_id is not None:
        figures.on_response(figures.response_id, tokens=figures.total)


def id_in(data: bytes) -> str | None:
    """Return the response's id, None if the data has none."""
    payload = decoded(data, _Payload) or decoded(bytes(masked_text(data)), _Payload)
    for part in () if payload is None else (payload.response, payload.result, payload):
        if part is not None and (response_id := part.response_id or part.id) is not None:
            return response_id
    return None
