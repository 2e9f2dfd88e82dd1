"""Requests at once: how they slow and stop each other."""

import asyncio

import pytest

from tests.support.gate import Gate
from tests.support.waiting import PATIENCE_SECONDS, until

from .conftest import LLM
from .simulations import Simulations, statuses


class SpeedRecorder(Gate):
    """Notes the speeds at which tokens and prompts are awaited."""

    def __init__(self, *, holds: str) -> None:
        super().__init__(holds=holds)
        self.token_speeds: list[float] = []
        self.prompt_speeds: list[float] = []

    async def prompt(self, tokens: int, speed: float = 1.0) -> None:
        self.prompt_speeds.append(speed)
        await super().prompt(tokens, speed)

    async def token(self, speed: float = 1.0) -> None:
        self.token_speeds.append(speed)
        await super().token(speed)


async def test_generations_share_the_speed(simulations: Simulations):
    """Each of four is half as fast as one alone, and one alone is at full speed again."""
    pace = SpeedRecorder(holds="token")
    one = await simulations.start(pace)
    requests = [one.ask() for _ in range(4)]
    await until(lambda: one.ledger.total.completion_tokens == 4)
    pace.opened.set()
    await asyncio.gather(*requests)
    assert min(pace.token_speeds) == 0.5
    pace.token_speeds.clear()
    await one.ask()
    assert set(pace.token_speeds) == {1.0}


async def test_prompts_share_the_speed(simulations: Simulations):
    """The second prompt at once is half as fast, as the first has the other half."""
    pace = SpeedRecorder(holds="prompt")
    one = await simulations.start(pace)
    requests = [one.ask() for _ in range(2)]
    await until(lambda: len(pace.prompt_speeds) == 2)
    pace.opened.set()
    await asyncio.gather(*requests)
    assert pace.prompt_speeds[-1] == 0.5


@pytest.mark.parametrize(
    ("model", "switches", "speeds"),
    [
        (LLM, {}, {0.25, 1.0}),
        (LLM, {"prefill": "ignore"}, {1.0}),
        ("mlx-model", {"share_speed": False}, {1.0}),
        ("mlx-model", {"prefill": "slow"}, {0.25, 1.0}),
    ],
)
async def test_a_prompt_slows_a_generation(
    simulations: Simulations, model: str, switches: dict[str, object], speeds: set[float]
):
    """A GGUF model generates at a quarter of its speed while it processes another prompt."""
    tokens, prompts = SpeedRecorder(holds="token"), SpeedRecorder(holds="prompt")
    one = await simulations.start(tokens, model, **switches)
    generating = one.ask()
    await asyncio.wait_for(tokens.reached.wait(), PATIENCE_SECONDS)
    one.simulator.pace = prompts
    reading = one.ask(max_tokens=1)
    await asyncio.wait_for(prompts.reached.wait(), PATIENCE_SECONDS)
    tokens.opened.set()
    await generating
    prompts.opened.set()
    await reading
    assert set(tokens.token_speeds + prompts.token_speeds) == speeds


async def test_a_prompt_stops_an_mlx_model(simulations: Simulations):
    """Its generations go on when the other prompt has been processed."""
    tokens, prompts = Gate(holds="token"), Gate(holds="prompt")
    one = await simulations.start(tokens, "mlx-model")
    generating = one.ask()
    await asyncio.wait_for(tokens.reached.wait(), PATIENCE_SECONDS)
    one.simulator.pace = prompts
    reading = one.ask(max_tokens=1)
    await asyncio.wait_for(prompts.reached.wait(), PATIENCE_SECONDS)
    tokens.opened.set()
    await until(lambda: one.ledger.total.completion_tokens == 2)
    # A round trip has more than enough turns of the loop for another token.
    await one.models()
    assert one.ledger.total.completion_tokens == 2
    prompts.opened.set()
    assert statuses(await asyncio.gather(generating, reading)) == [200, 200]
