"""Names of models that are like a misspelt one."""

from __future__ import annotations

import pytest

from lmgateway.boxes import inventory
from lmgateway.models.names import near_names

MODELS = [
    inventory.downloaded({"modelKey": key, "path": f"someone/{key}.gguf"}, set())
    for key in (
        "qwen2.5-7b-instruct",
        "Qwen2.5-VL-7B-Instruct",
        "llama-3.2-3b-instruct",
        "llama-3.2-1b-instruct",
        "mistral-nemo-instruct",
        "gemma-3-4b-instruct",
        "text-embedding-nomic-embed-text-v1.5",
    )
]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        pytest.param("lama-3.2-3b-instruct", "llama-3.2-3b-instruct", id="a letter missing"),
        pytest.param("QWEN2.5-7B", "qwen2.5-7b-instruct", id="shortened, in capitals"),
        pytest.param("qwen vl", "Qwen2.5-VL-7B-Instruct", id="a few words"),
        pytest.param("nomic", "text-embedding-nomic-embed-text-v1.5", id="one word"),
        pytest.param("mistralnemo", "mistral-nemo-instruct", id="no dash"),
    ],
)
def test_near_names(name: str, first: str) -> None:
    """A misspelt name finds the right one first, among at most five."""
    near = near_names(name, MODELS)
    assert near[0] == first
    assert len(near) <= 5


@pytest.mark.parametrize("name", ["", "xyzzy", "???"])
def test_no_near_names(name: str) -> None:
    """A name unlike all others, or an empty disk, gives no names."""
    assert near_names(name, MODELS) == []
    assert near_names("qwen2.5-7b-instruct", []) == []


def test_five_near_names_at_most() -> None:
    """Among many of a family, the likeliest five, and each once."""
    near = near_names("instruct-7b", MODELS)
    assert len(near) == len(set(near)) == 5
