"""Types and base classes that every area's JSON shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

Mend = Literal["tool_choice", "json_object", "tool_types", "tool_schema"]
ModelType = Literal["llm", "embedding"]
# Whether a request may go to another box: `unsent` only as long as none can have got it.
Mobility = Literal["none", "unsent", "any"]
# As long as a name of LM Studio's: observe.text.NAME_CHARACTERS.
Name = Annotated[str, Meta(min_length=1, max_length=256)]


def about(
    text: str, *, title: str | None = None, group: str | None = None, types: Sequence[ModelType] | None = None
) -> Meta:
    """Return a field's description for the OpenAPI document.

    The rest is for the dashboard's form of the field: its label, the part of the form that it is in (of a
    field without one the first part), and the types of models that have it (all of them by default).
    """
    marks = {"x-group": group, "x-types": types}
    extra = {name: value for name, value in marks.items() if value is not None}
    return Meta(title=title, description=text, extra_json_schema=extra or None)


ModelKey = Annotated[Name, about("The model's key, as `GET /admin/models` lists it.")]


class Message(Struct, frozen=True, kw_only=True, rename="camel"):
    """A JSON object of the API."""


class RequestBody(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request's JSON body. An unknown field is an error, so that a misspelt one isn't silently ignored."""


def likely_type(name: str) -> ModelType:
    """Guess a model's type from the prefix that LM Studio gives to the keys of embedding models."""
    return "embedding" if name.startswith("text-embedding-") else "llm"
