"""Names of models that are like a misspelt one."""

from __future__ import annotations

import pytest

from lmgateway.models.names import near_keys
from tests.support.processor import processor_seconds

MODELS = [
    "qwen2.5-7b-instruct",
    "Qwen2.5-VL-7B-Instruct",
    "llama-3.2-3b-instruct",
    "llama-3.2-1b-instruct",
    "mistral-nemo-instruct",
    "gemma-3-4b-instruct",
    "text-embedding-nomic-embed-text-v1.5",
]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        pytest.param("lama-3.2-3b-instruct", "llama-3.2-3b-instruct", id="a letter missing"),
        pytest.param("QWEN2.5-7B", "qwen2.5-7b-instruct", id="shortened, in capitals"),
        pytest.param("qwen vl", "Qwen2.5-VL-7B-Instruct", id="a few words"),
        pytest.param("nomic", "text-embedding-nomic-embed-text-v1.5", id="one word"),
        pytest.param("lama", "llama-3.2-3b-instruct", id="short, a letter missing"),
        pytest.param("qwn", "qwen2.5-7b-instruct", id="short, a vowel missing"),
        pytest.param("mistralnemo", "mistral-nemo-instruct", id="no dash"),
    ],
)
def test_near_names(name: str, first: str) -> None:
    """A misspelt name finds the right one first, among at most five."""
    near = near_keys(name, MODELS)
    assert near[0] == first
    assert len(near) <= 5


@pytest.mark.parametrize("name", ["", "xyzzy", "???"])
def test_no_near_keys(name: str) -> None:
    """A name unlike all others, or an empty disk, gives no names."""
    assert near_keys(name, MODELS) == []
    assert near_keys("qwen2.5-7b-instruct", []) == []


def test_five_near_names_at_most() -> None:
    """Among many of a family, the likeliest five, and each once."""
    near = near_keys("instruct-7b", MODELS)
    assert len(near) == len(set(near)) == 5


@pytest.mark.parametrize(
    "name", ["a" * 900_000, "ab" * 450_000, "qwen-7b " * 100_000], ids=["a", "ab", "words"]
)
def test_a_long_name_among_many_takes_no_time(name: str) -> None:
    """The comparison of two names takes time with the product of their lengths."""
    keys = [f"{'ab' * 200}-{number}" for number in range(20_000)]
    assert processor_seconds(lambda: near_keys(name, keys)) < 0.2


def test_near_names_are_found_beyond_the_ones_compared_closely() -> None:
    """The one with the same words is found among a thousand."""
    others = [f"vendor/model-{number}" for number in range(900)]
    assert near_keys("qwen2.5-7b", [*others, *MODELS])[0] == "qwen2.5-7b-instruct"
