"""The speed of a simulated model."""

import asyncio
import time

from lmgateway.simulator import Pace


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
        await pace.load(step / 20)
    assert time.monotonic() - began >= 0.099
