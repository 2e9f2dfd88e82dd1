"""Waiting for counts of the ledger."""

import asyncio

import pytest

from lmgateway.simulator import Ledger


async def test_waiting_for_counts():
    """wait() returns when every count is reached, and not before."""
    ledger = Ledger()
    waiting = asyncio.create_task(ledger.wait(begun=2, finished=1, aborted=1))
    with ledger.generation("chat"):
        pass
    await asyncio.sleep(0)
    assert not waiting.done()
    with pytest.raises(asyncio.CancelledError), ledger.generation("chat"):
        raise asyncio.CancelledError
    await asyncio.wait_for(waiting, 5)
    await ledger.wait(begun=2)
    assert ledger.apis["chat"] == ledger.total


async def test_waiting_can_be_given_up():
    """A wait that timed out doesn't break later entries."""
    ledger = Ledger()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ledger.wait(begun=1), 0.01)
    with ledger.generation("chat") as entry:
        entry.read_prompt(3)
        entry.produced_token()
    assert (ledger.total.prompt_tokens, ledger.total.completion_tokens) == (3, 1)
