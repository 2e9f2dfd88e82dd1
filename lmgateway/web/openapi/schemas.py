"""The JSON Schemas (2020-12, as in OpenAPI 3.1) of the operations' Structs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args, get_type_hints

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import fields

from ...schema.common import RequestBody
from ..operations.operation import Operation
from .errors import SHAPES
from .responses import STUDIO_ANSWER, Json


def schemas(operations: Sequence[Operation]) -> dict[str, Json]:
    """Return the schema of every Struct of the operations, and of the Structs inside those, by name."""
    kinds = tuple(dict.fromkeys(_structs((*SHAPES.values(), *_named(operations)))))
    _, components = msgspec.json.schema_components(
        kinds, schema_hook=_any_json, ref_template="#/components/schemas/{name}"
    )
    for kind in kinds:
        _describe_as_encoded(components[kind.__name__], kind)
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
