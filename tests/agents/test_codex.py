"""The real Codex."""

from __future__ import annotations

import pytest

from tests.agents.asked import asked
from tests.agents.programs import Program
from tests.agents.refusing_studio import TOOL_TYPES, Overflow, RefusingStudio
from tests.support.gateway import Gateway
from tests.support.node import INSTALL_SECONDS

pytestmark = [pytest.mark.long, pytest.mark.timeout(INSTALL_SECONDS)]

RESPONSES = "/v1/responses"
EXEC = ("exec", "--skip-git-repo-check")


async def test_a_tool_is_used(codex: Program, gateway: Gateway, studio: RefusingStudio) -> None:
    """The model calls a tool, and answers with its result, though LM Studio knows not all kinds of tools."""
    # The tool's sandbox needs rights that a container may not have.
    options = ("--sandbox", "danger-full-access")
    request = 'Use the exec_command tool: {"cmd": "echo forty-two"}'
    finished = await codex.run(*EXEC, *options, request)
    assert (finished.status, "The tool gave" in finished.output) == (0, True), finished.output
    assert "forty-two" in finished.output
    assert await asked(gateway) == [(RESPONSES, 200)] * 2
    offered = [{tool.get("type") for tool in body["tools"]} for _, body in studio.bodies]
    # The refusal is remembered: the second request isn't refused again.
    assert not offered[0] <= TOOL_TYPES
    assert [types <= TOOL_TYPES for types in offered[1:]] == [True, True]


@pytest.mark.parametrize("shape", ["event", "string", "error_500", "empty"])
async def test_a_long_prompt_is_explained(
    codex: Program, gateway: Gateway, studio: RefusingStudio, shape: Overflow
) -> None:
    """A prompt that doesn't fit in the context isn't sent 30 times, and the user reads why."""
    studio.overflow = shape
    finished = await codex.run(*EXEC, "Hello!")
    assert finished.status == 1, finished.output
    assert "ran out of room in the model's context window" in finished.output
    assert [path for path, _ in await asked(gateway)] == [RESPONSES]
