"""What the context guard learns, and of which requests it knows what they need."""

from __future__ import annotations

import pytest

from lmgateway.scheduling.context_guard import ContextNeeds
from tests.scheduling.schedule import ticket
from tests.scheduling.test_line import arrive, line, reason

# As Line reserves it for an answer of at most one token.
CONTEXT, SLOTS = 100_000, 4


def prompt_tokens(needs: ContextNeeds, prompt_bytes: int) -> int:
    return needs.of(ticket(prompt_bytes=prompt_bytes, max_tokens=1), CONTEXT, SLOTS) - 1


def test_three_bytes_are_a_token_at_first() -> None:
    assert prompt_tokens(ContextNeeds(), 30_000) == 10_000


def test_long_prompts_show_what_a_token_is() -> None:
    """After a few of them with four bytes a token, one of 40,000 bytes has 10,000 tokens."""
    needs = ContextNeeds()
    for _ in range(5):
        needs.learn(40_000, 10_000, 1)
    assert prompt_tokens(needs, 40_000) == pytest.approx(10_000, rel=0.02)


def test_short_questions_do_not_make_long_prompts_small() -> None:
    """Of a short body most is JSON: 90 bytes for 9 tokens. A long one would get a third of its room."""
    needs = ContextNeeds()
    for _ in range(5):
        needs.learn(40_000, 10_000, 1)
    for _ in range(50):
        needs.learn(90, 9, 1)
    assert prompt_tokens(needs, 40_000) > 9_000


def test_what_a_conversation_has_had_before_is_not_in_its_next_body() -> None:
    """LM Studio counts the tokens of the earlier responses as its prompt too."""
    needs = ContextNeeds()
    for turn in range(20):
        needs.learn(300, 100 + 5_000 * turn, 1, earlier_tokens=5_000 * turn)
    assert prompt_tokens(needs, 30_000) == pytest.approx(10_000, rel=0.02)


def test_images_teach_nothing() -> None:
    """Their tokens have no bytes of text: otherwise each text would seem to fill the context."""
    needs = ContextNeeds()
    for _ in range(20):
        needs.learn(200, 1_000, 1)
    assert prompt_tokens(needs, 30_000) == 10_000


def test_an_unmeasured_prompt_counts_with_its_whole_body() -> None:
    """It began while LM Studio's SDK, which reports who shares a context, couldn't be reached."""
    request = ticket(body_bytes=30_000, max_tokens=1)
    assert ContextNeeds().of(request, CONTEXT, SLOTS) == 10_000 + 1


def test_what_ran_before_the_context_was_known_is_reserved() -> None:
    """The load config is read when a request comes, so the first ones are on their way by then."""
    made = line(2)
    [loaded] = made.machines.instances.values()
    first, second = (ticket(prompt_bytes=1800, max_tokens=100) for _ in range(2))
    arrive(made, first)
    loaded.context = 1000
    made.put(loaded, 0.0)
    # 600 tokens and an answer of at most 100 each: the second one has 300 left.
    assert arrive(made, second) == []
    assert reason(made, second) == "context"
