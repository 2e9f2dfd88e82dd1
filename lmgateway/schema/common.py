"""What every area's JSON is built on."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

ModelType = Literal["llm", "embedding"]
Name = Annotated[str, Meta(min_length=1)]


def about(text: str) -> Meta:
    """Say what a field is, for the API's document."""
    return Meta(description=text)


ModelKey = Annotated[Name, about("As `GET /admin/models` tells it.")]


class Message(Struct, frozen=True, kw_only=True, rename="camel"):
    """What the gateway answers."""


class RequestBody(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client sends; a misspelt field is an error and not lost in silence."""
