"""The box that served a conversation last: bounded, and apart by key and model."""

from __future__ import annotations

from lmgateway.scheduling.affinity import MAX_CONVERSATIONS, Affinity

SKY, SEA = b"sky", b"sea"


def test_the_last_box_of_a_conversation_is_remembered() -> None:
    affinity = Affinity()
    assert affinity.box_of("mia", "qwen", SKY) is None
    affinity.served("mia", "qwen", SKY, "a")
    affinity.served("mia", "qwen", SEA, "a")
    affinity.served("mia", "qwen", SKY, "b")
    assert affinity.box_of("mia", "qwen", SKY) == "b"
    assert affinity.box_of("mia", "qwen", SEA) == "a"


def test_keys_and_models_are_apart() -> None:
    """The prompt cache is a model's, and one key can't find out where another's conversation is."""
    affinity = Affinity()
    affinity.served("mia", "qwen", SKY, "a")
    assert affinity.box_of("leo", "qwen", SKY) is None
    assert affinity.box_of("mia", "llama", SKY) is None


def test_a_request_without_a_digest_has_no_box() -> None:
    affinity = Affinity()
    affinity.served("mia", "qwen", None, "a")
    assert affinity.box_of("mia", "qwen", None) is None
    assert len(affinity) == 0


def test_a_box_that_is_gone_is_forgotten() -> None:
    affinity = Affinity()
    affinity.served("mia", "qwen", SKY, "a")
    affinity.served("mia", "qwen", SEA, "b")
    affinity.forget_box("a")
    assert affinity.box_of("mia", "qwen", SKY) is None
    assert affinity.box_of("mia", "qwen", SEA) == "b"


def test_the_conversation_that_was_served_longest_ago_goes_first() -> None:
    affinity = Affinity(max_conversations=2)
    affinity.served("mia", "qwen", SKY, "a")
    affinity.served("mia", "qwen", SEA, "a")
    affinity.served("mia", "qwen", SKY, "a")
    affinity.served("mia", "qwen", b"mountain", "a")
    assert affinity.box_of("mia", "qwen", SEA) is None
    assert affinity.box_of("mia", "qwen", SKY) == "a"


def test_ten_thousand_conversations_are_remembered() -> None:
    affinity = Affinity()
    for number in range(10_001):
        affinity.served("mia", "qwen", b"%d" % number, "a")
    assert MAX_CONVERSATIONS == len(affinity) == 10_000
    assert affinity.box_of("mia", "qwen", b"0") is None
    assert affinity.box_of("mia", "qwen", b"1") == "a"
