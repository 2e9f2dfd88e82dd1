"""Pieces of text and sample arguments: the pure functions."""

import pytest

from lmgateway.simulator.engine import speech
from lmgateway.simulator.engine.sample import sample


@pytest.mark.parametrize(
    "text", ["", "One two.", "  spaces\n\tand lines  ", "Donaudampfschiff", "日本語 naïve…"]
)
def test_pieces_add_up(text: str):
    """No character is lost between the pieces."""
    assert "".join(speech.pieces(text)) == text
    assert speech.count_pieces(text) == len(speech.pieces(text)) == len(speech.piece_ids(text))


def test_long_texts_are_extrapolated():
    """Beyond a million characters the count goes on in proportion."""
    assert speech.count_pieces("word " * 600_000) == pytest.approx(600_000, rel=0.01)


PLACE = {
    "$ref": "#/$defs/Place",
    "$defs": {"Place": {"type": "object", "properties": {"x": {"type": "null"}}}},
}
ENDLESS = {"type": "array", "items": {"$ref": "#"}}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "example"),
        ({"type": "string", "format": "date"}, "2025-07-19"),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 7}, 7),
        ({"type": "integer", "default": 3}, 3),
        ({"type": ["number", "null"], "minimum": 0.5}, 0.5),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, True),
        ({"type": "array", "items": {"type": "integer"}}, [1]),
        ({"properties": {"a": {"type": "string"}}}, {"a": "example"}),
        (PLACE, {"x": None}),
        ({}, "example"),
    ],
)
def test_samples_fit_their_schema(schema: dict[str, object], value: object):
    """A modest value for every kind of schema."""
    assert sample(schema) == value


def test_schemas_may_refer_to_themselves():
    """Recursion ends."""
    assert isinstance(sample(ENDLESS), list)
