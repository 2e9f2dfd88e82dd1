"""The real Claude Code."""

from __future__ import annotations

import re

import pytest

from tests.agents.conftest import Setup
from tests.agents.programs import Program
from tests.support.node import INSTALL_SECONDS

pytestmark = [pytest.mark.long, pytest.mark.timeout(INSTALL_SECONDS)]

MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"
# Its instructions and tools alone are more than SMALL.
SMALL, LARGE = 4096, 32768


async def test_a_tool_is_used(claude: Program, setup: Setup) -> None:
    """The model calls a tool, and answers with the tool's result."""
    await setup.load(LARGE)
    request = 'Use the Bash tool: {"command": "echo forty-two"}'
    finished = await claude.run("-p", request, "--allowedTools", "Bash(echo:*)")
    assert (finished.status, "forty-two" in finished.output) == (0, True), finished.output
    assert await setup.requests() == [(MESSAGES, 200)] * 2


async def test_counting_generates_nothing(claude: Program, setup: Setup) -> None:
    """/context asks for counts only. After an error it would send each text again, as a message."""
    await setup.load(LARGE)
    finished = await claude.run("-p", "/context")
    assert finished.status == 0, finished.output
    assert set(await setup.requests()) == {(COUNT, 200)}


@pytest.mark.parametrize("overflow", ["usual", "event", "refuse", "refuse_old", "server_error", "empty"])
async def test_a_long_prompt_is_explained(claude: Program, setup: Setup) -> None:
    """A prompt that doesn't fit in the context isn't sent ten times, and the user reads why."""
    await setup.load(SMALL)
    finished = await claude.run("-p", "Hello!")
    words = re.search(r"Prompt is too long · the request is ~(\d+) tokens \(limit (\d+)\)", finished.output)
    assert (finished.status, words is not None) == (1, True), finished.output
    assert (int(words[1]) > SMALL, int(words[2])) == (True, SMALL)
    assert await setup.requests() == [(MESSAGES, 400)]


async def test_a_long_conversation_is_compacted(claude: Program, setup: Setup) -> None:
    """A conversation that doesn't fit any more is summarized, and goes on."""
    await setup.load(16384)
    # Without tools the simulated model answers in text, which the summary must be.
    tools = ("--tools", "")
    for words, more in ((0, ()), (9000, ("--continue",)), (6000, ("--continue",))):
        question = "word " * words + "Say hello in 5 words."
        finished = await claude.run("-p", question, *tools, *more)
        is_answer = "This is a simulated answer" in finished.output
        assert (finished.status, is_answer) == (0, True), (finished.output, await setup.requests())
    # Two questions; then the third one, a summary of the conversation, and the third one again.
    assert await setup.requests() == [(MESSAGES, status) for status in (200, 200, 400, 200, 200)]
