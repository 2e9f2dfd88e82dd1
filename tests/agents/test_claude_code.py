"""The real Claude Code."""

from __future__ import annotations

import pytest

from tests.agents.asked import asked
from tests.agents.programs import Program
from tests.agents.refusing_studio import CONTEXT_TOKENS, PROMPT_TOKENS, Overflow, RefusingStudio
from tests.support.gateway import Gateway
from tests.support.node import INSTALL_SECONDS

pytestmark = [pytest.mark.long, pytest.mark.timeout(INSTALL_SECONDS)]

MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"


async def test_a_tool_is_used(claude: Program, gateway: Gateway) -> None:
    """The model calls a tool, and answers with the tool's result."""
    request = 'Use the Bash tool: {"command": "echo forty-two"}'
    finished = await claude.run("-p", request, "--allowedTools", "Bash(echo:*)")
    assert (finished.status, "forty-two" in finished.output) == (0, True), finished.output
    assert await asked(gateway) == [(MESSAGES, 200)] * 2


async def test_counting_generates_nothing(claude: Program, gateway: Gateway) -> None:
    """/context asks for counts only. After an error it would send each text again, as a message."""
    finished = await claude.run("-p", "/context")
    assert finished.status == 0, finished.output
    assert set(await asked(gateway)) == {(COUNT, 200)}


@pytest.mark.parametrize("shape", ["event", "string", "error_500", "empty"])
async def test_a_long_prompt_is_explained(
    claude: Program, gateway: Gateway, studio: RefusingStudio, shape: Overflow
) -> None:
    """A prompt that doesn't fit in the context isn't sent ten times, and the user reads why."""
    studio.overflow = shape
    finished = await claude.run("-p", "Hello!")
    assert (finished.status, "Prompt is too long" in finished.output) == (1, True), finished.output
    requests = await asked(gateway)
    assert requests[-1] == (MESSAGES, 400)
    # If a stream ends empty, Claude Code asks again, without a stream.
    assert len(requests) <= (2 if shape == "empty" else 1)
    if shape != "empty":
        assert f"~{PROMPT_TOKENS} tokens (limit {CONTEXT_TOKENS})" in finished.output


async def test_a_long_conversation_is_compacted(
    claude: Program, gateway: Gateway, studio: RefusingStudio
) -> None:
    """A conversation that doesn't fit any more is summarized, and goes on."""
    studio.overflow, studio.fits_bytes = "error_500", 70_000
    # Without tools the simulated model answers in text, which the summary must be.
    tools = ("--tools", "")
    for words, more in ((0, ()), (9000, ("--continue",)), (6000, ("--continue",))):
        question = "word " * words + "Say hello in 5 words."
        finished = await claude.run("-p", question, *tools, *more)
        is_answer = "This is a simulated answer" in finished.output
        assert (finished.status, is_answer) == (0, True), (finished.output, await asked(gateway))
    # Two questions; then the third one, a summary of the conversation, and the third one again.
    assert await asked(gateway) == [(MESSAGES, status) for status in (200, 200, 400, 200, 200)]
