"""The JSON Schemas (2020-12, as in OpenAPI 3.1) of the operations' Structs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args, get_type_hints

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import fields

from ...errors import Mistake, NearNames
from ...schema.common import RequestBody
from ...schema.native_models import NATIVE_NAMES
from ..operations.operation import Operation
from .errors import SHAPES
from .glossary import meaning_of
from .responses import STUDIO_ANSWER, Json


def schemas(operations: Sequence[Operation]) -> dict[str, Json]:
    """Return the schema of every Struct of the operations, and of the Structs inside those, by name."""
    kinds = tuple(dict.fromkeys(_structs((*SHAPES.values(), *_named(operations)))))
    _, components = msgspec.json.schema_components(
        kinds, schema_hook=_any_json, ref_template="#/components/schemas/{name}"
    )
    for kind in kinds:
        _describe_as_encoded(components[kind.__name__], kind)
    for described in (*kinds, Mistake, NearNames):
        _describe_fields(components[described.__name__], described)
    _describe_like_ours(components["NativeLoad"], components["LoadConfig"])
    anything = {"description": "LM Studio's response, which the gateway doesn't change."}
    return {**components, STUDIO_ANSWER: anything}


def _named(operations: Iterable[Operation]) -> Iterator[type[Struct]]:
    for operation in operations:
        bodies = [body for answer in operation.answers.values() for body in answer.bodies]
        for body in (*bodies, *([operation.body] if operation.body else [])):
            yield from body.events
            if body.kind is not None:
                yield body.kind


def _structs(hints: Iterable[Any]) -> Iterator[type[Struct]]:
    """Yield the Structs among these types, and the Structs inside those."""
    for hint in hints:
        if isinstance(hint, type) and issubclass(hint, Struct):
            yield hint
            yield from _structs(get_type_hints(hint).values())
        else:
            yield from _structs(get_args(hint))


def _any_json(kind: type) -> Json:
    if kind is object:
        return {"description": "Any JSON."}
    raise NotImplementedError(kind)


def _describe_fields(schema: Json, kind: type) -> None:
    """Take the meaning of the fields that don't say it themselves from the glossary."""
    for name, described in schema["properties"].items():
        options = (described, *described.get("anyOf", ()))
        text = None if any("description" in option for option in options) else meaning_of(kind, name)
        if text is not None:
            described["description"] = text


def _describe_like_ours(native: Json, load_config: Json) -> None:
    """Describe LM Studio's own names of load settings as the gateway's names of them."""
    for name, native_name in NATIVE_NAMES.items():
        if native_name in native["properties"]:
            ours = load_config["properties"][name]
            native["properties"][native_name]["description"] = ours["description"]


def _describe_as_encoded(schema: Json, kind: type[Struct]) -> None:
    """Use the JSON names of fields. In responses all fields are required, because defaults are sent too."""
    for info in fields(kind):
        if "description" in schema:
            schema["description"] = schema["description"].replace(f"`{info.name}`", f"`{info.encode_name}`")
    if issubclass(kind, RequestBody) or kind.__struct_config__.omit_defaults:
        return
    schema["required"] = [info.encode_name for info in fields(kind) if info.default is not UNSET]
    for property_schema in schema["properties"].values():
        property_schema.pop("default", None)
