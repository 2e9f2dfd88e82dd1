"""Types and base classes that every area's JSON shares."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Mend = Literal["tool_choice", "json_object", "tool_types", "tool_schema"]
ModelType = Literal["llm", "embedding"]
# As long as a name of LM Studio's: observe.text.NAME_CHARACTERS.
Name = Annotated[str, Meta(min_length=1, max_length=256)]


def about(text: str) -> Meta:
    """Return a field's description for the OpenAPI document."""
    return Meta(description=text)


ModelKey = Annotated[Name, about("The model's key, as `GET /admin/models` lists it.")]


class Message(Struct, frozen=True, kw_only=True, rename="camel"):
    """A JSON object of the API."""


class RequestBody(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request's JSON body. An unknown field is an error, so that a misspelt one isn't silently ignored."""


def likely_type(name: str) -> ModelType:
    """Guess a model's type from the prefix that LM Studio gives to the keys of embedding models."""
    return "embedding" if name.startswith("text-embedding-") else "llm"
