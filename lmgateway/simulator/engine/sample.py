"""Generates a value that matches a JSON Schema, for a tool's arguments or a structured answer."""

from collections.abc import Mapping
from functools import partial

_DEEPEST = 8
"""Schemas may refer to themselves; below this depth everything is null."""

_STRINGS = {
    "date": "2025-07-19",
    "date-time": "2025-07-19T20:33:33Z",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def sample(schema: Mapping[str, object]) -> object:
    """Return the schema's default or first choice if it has one, otherwise a simple value of its type."""
    return _sample(schema, schema, 0)


def _sample(schema: object, root: Mapping[str, object], depth: int) -> object:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    within = partial(_sample, root=root, depth=depth + 1)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if reference := schema.get("$ref"):
        return within(_referred(str(reference), root))
    for key, choose in (
        ("enum", lambda choice: choice),
        ("anyOf", within),
        ("oneOf", within),
        ("allOf", within),
    ):
        choices = schema.get(key)
        if isinstance(choices, list) and choices:
            return choose(choices[0])
    return _of_type(schema, root, depth)


def _of_type(schema: Mapping[str, object], root: Mapping[str, object], depth: int) -> object:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0] if kind else "null"
    match kind:
        case "object":
            properties = schema.get("properties")
            named = properties.items() if isinstance(properties, Mapping) else ()
            return {str(name): _sample(inner, root, depth + 1) for name, inner in named}
        case "array":
            return [_sample(schema.get("items", {}), root, depth + 1)]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _STRINGS.get(str(schema.get("format")), "example")


def _referred(reference: str, root: Mapping[str, object]) -> object:
    """Resolve a local reference such as `#/$defs/Place`; others resolve to None."""
    resolved: object = root
    for name in reference.removeprefix("#/").split("/"):
        resolved = resolved.get(name) if isinstance(resolved, Mapping) else None
    return resolved
