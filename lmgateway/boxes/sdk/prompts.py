"""How the SDK makes a prompt of a conversation, and counts its tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ... import untrusted
from ...errors import StudioFailed
from .library import NOT_UNDERSTOOD


def template_parameter(
    specifier: Mapping[str, object], history: Mapping[str, object], tools: Sequence[Mapping[str, object]]
) -> dict[str, object]:
    """Return the parameter of applyPromptTemplate."""
    fields: list[dict[str, object]] = []
    options: dict[str, object] = {}
    if tools:
        # The SDK has two places for tools: predictions have them in the first, templates in the second.
        fields.append({"key": "llm.prediction.tools", "value": {"type": "toolArray", "tools": tools}})
        options["toolDefinitions"] = tools
    layer = {"layerName": "apiOverride", "config": {"fields": fields}}
    return {
        "specifier": specifier,
        "history": history,
        "predictionConfigStack": {"layers": [layer]},
        "opts": options,
    }


def parse_prompt(result: object) -> str:
    """Return the result of applyPromptTemplate. Raises StudioFailed."""
    match result:
        case {"formatted": str(text)}:
            return text
    raise StudioFailed(NOT_UNDERSTOOD)


def parse_count(result: object) -> int:
    """Return the result of countTokens. Raises StudioFailed."""
    counted = untrusted.count(result.get("tokenCount")) if isinstance(result, dict) else None
    if counted is None:
        raise StudioFailed(NOT_UNDERSTOOD)
    return counted
