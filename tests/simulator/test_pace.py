"""The speed of a simulated model."""

import asyncio
import time

import pytest

from lmgateway.simulator import Pace, Simulator, Switches
from lmgateway.simulator.engine.prompt import Limits, Prompt
from tests.support.clock import Clock

from .conftest import LLM


async def generate(pace: Pace, tokens: int) -> None:
    await pace.prompt(1)
    for _ in range(tokens):
        await pace.token()


async def test_tokens_keep_their_schedule():
    """A timer fires a millisecond late; at a thousand tokens a second that doesn't double the time."""
    pace = Pace(prompt_tokens_per_second=1e9, tokens_per_second=1000)
    began = time.monotonic()
    await generate(pace, 300)
    assert 0.299 <= time.monotonic() - began < 0.5


async def test_generations_dont_share_a_schedule():
    """Two at once are each as fast as one alone."""
    pace = Pace(prompt_tokens_per_second=1e9, tokens_per_second=1000)
    began = time.monotonic()
    await asyncio.gather(generate(pace, 300), generate(pace, 300))
    assert time.monotonic() - began < 0.5


async def test_prompts_and_loads_take_their_time():
    """A prompt costs by its length; a load's steps add up to its seconds."""
    pace = Pace(prompt_tokens_per_second=1000, load_seconds=0.1)
    began = time.monotonic()
    await pace.prompt(50)
    assert time.monotonic() - began >= 0.049
    began = time.monotonic()
    for step in range(1, 21):
        await pace.load(step / 20, "any")
    assert time.monotonic() - began >= 0.099


async def test_a_fraction_of_the_speed():
    """Tokens and prompts take the longer for it."""
    pace = Pace(prompt_tokens_per_second=1000, tokens_per_second=100)
    began = time.monotonic()
    await pace.prompt(10, 0.25)
    assert time.monotonic() - began >= 0.039
    await pace.token(0.25)
    assert time.monotonic() - began >= 0.079


async def test_a_pause_earns_no_tokens(monkeypatch: pytest.MonkeyPatch):
    """A task's later generation keeps to the speed, as does one that goes on after `restart()`."""
    clock, simulator = Clock(monkeypatch), Simulator(pace=Pace(tokens_per_second=50))
    prompt = Prompt(text="Hello", limits=Limits(6))
    instance = simulator.load(LLM)
    for _ in range(2):
        with simulator.generate(instance, prompt, "chat") as generation:
            await generation.run()
        assert generation.seconds_generating >= 0.09  # 5 tokens; none would have taken time
        await clock.pass_seconds(10)
    began = time.monotonic()
    simulator.pace.restart()
    await simulator.pace.token()
    assert time.monotonic() - began >= 0.019


async def test_a_stall_earns_no_tokens(monkeypatch: pytest.MonkeyPatch):
    """A generation that another prompt stopped goes on at its speed, and doesn't catch up."""
    clock = Clock(monkeypatch)
    simulator = Simulator(pace=Pace(tokens_per_second=50), switches=Switches(prefill="stop"))
    instance = simulator.load(LLM)
    with simulator.generate(instance, Prompt(text="Hello"), "chat") as generation:
        await generation.read_prompt()
        for _ in range(2):
            await anext(generation.answer)
        other = instance.begin("processingPrompt")

        async def end_the_stall() -> float:
            await clock.pass_seconds(10)
            ended = time.monotonic()
            instance.end(other)
            return ended

        ending = asyncio.create_task(end_the_stall())
        for _ in range(5):
            await anext(generation.answer)
        assert time.monotonic() - await ending >= 0.099
