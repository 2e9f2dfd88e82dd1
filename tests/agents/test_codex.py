"""The real Codex."""

from __future__ import annotations

import json

import pytest

from tests.agents.conftest import Setup
from tests.agents.programs import Program
from tests.support.node import INSTALL_SECONDS

pytestmark = [pytest.mark.long, pytest.mark.timeout(INSTALL_SECONDS)]

RESPONSES = "/v1/responses"
EXEC = ("exec", "--skip-git-repo-check")
# Its instructions and tools alone are more than SMALL.
SMALL, LARGE = 4096, 32768


async def test_a_tool_is_used(codex: Program, setup: Setup) -> None:
    """The model calls a tool, and answers with its result, though LM Studio knows not all kinds of tools."""
    await setup.load(LARGE)
    # The tool's sandbox needs rights that a container may not have.
    options = ("--sandbox", "danger-full-access")
    request = 'Use the exec_command tool: {"cmd": "echo forty-two"}'
    finished = await codex.run(*EXEC, *options, request)
    assert (finished.status, "The tool gave" in finished.output) == (0, True), finished.output
    assert "forty-two" in finished.output
    assert await setup.requests() == [(RESPONSES, 200)] * 2
    asked = await setup.relay.exchanges(RESPONSES)
    # The refusal is remembered: the second request isn't refused again.
    assert [answer.status for _, answer in asked] == [400, 200, 200]
    refused, *others = [{tool["type"] for tool in json.loads(request.body)["tools"]} for request, _ in asked]
    assert refused == {"function", "namespace", "web_search"}
    assert others == [{"function"}] * 2


@pytest.mark.parametrize("overflow", ["usual", "event", "refuse", "refuse_old", "server_error", "empty"])
async def test_a_long_prompt_is_explained(codex: Program, setup: Setup) -> None:
    """A prompt that doesn't fit in the context isn't sent 30 times, and the user reads why."""
    await setup.load(SMALL)
    finished = await codex.run(*EXEC, "Hello!")
    is_explained = "ran out of room in the model's context window" in finished.output
    assert (finished.status, is_explained) == (1, True), finished.output
    assert [path for path, _ in await setup.requests()] == [RESPONSES]
