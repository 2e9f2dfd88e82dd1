"""The requests that LM Studio refuses although OpenAI's API allows them, with its texts."""

from collections.abc import Mapping, Sequence

import msgspec

from .bodies import Json
from .errors import ApiError


def check_tool_choice(choice: object) -> None:
    """Raise ApiError for an object: a single tool can't be forced."""
    if isinstance(choice, Mapping):
        raise ApiError(
            400, "Invalid tool_choice type: 'object'. Supported string values: none, auto, required"
        )


def check_response_format(response_format: Json | None) -> None:
    """Raise ApiError for other types, such as `json_object`."""
    if response_format is not None and response_format.get("type") not in ("json_schema", "text"):
        raise ApiError(400, "'response_format.type' must be 'json_schema' or 'text'")


def check_chat_tools(tools: Sequence[Json] | None) -> None:
    """Raise ApiError for parameters that aren't an object's schema; its text is an array of zod's issues."""
    issues = [
        issue
        for index, tool in enumerate(tools or ())
        if isinstance(function := tool.get("function"), Mapping) and "parameters" in function
        for issue in _schema_issues(function["parameters"], [index, "function", "parameters"])
    ]
    if issues:
        raise ApiError(400, msgspec.json.format(msgspec.json.encode(issues), indent=2).decode())


def check_response_tools(tools: Sequence[Json] | None) -> None:
    """Raise ApiError for a type that LM Studio lacks, and for parameters that aren't an object's schema."""
    for index, tool in enumerate(tools or ()):
        kind = tool.get("type")
        if kind not in ("function", "mcp"):
            raise ApiError(
                400,
                "Invalid discriminator value. Expected 'function' | 'mcp'",
                param=f"tools.{index}.type",
                code="invalid_union_discriminator",
            )
        if kind == "function" and "parameters" in tool and _schema_issues(tool["parameters"], []):
            raise ApiError(400, "Invalid input", param=f"tools.{index}", code="custom")


def _schema_issues(schema: object, place: list[int | str]) -> list[Json]:
    """Return the issues that zod, LM Studio's validator, finds in the schema of a tool's parameters."""
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        return [
            {
                "code": "invalid_union_discriminator",
                "options": ["object"],
                "path": [*place, "type"],
                "message": "Invalid discriminator value. Expected 'object'",
            }
        ]
    if not isinstance(schema.get("properties"), Mapping):
        return [
            {
                "code": "invalid_type",
                "expected": "object",
                "received": "undefined",
                "path": [*place, "properties"],
                "message": "Required",
            }
        ]
    return []
