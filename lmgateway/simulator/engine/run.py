"""The run of one request on an instance."""

import asyncio
from collections.abc import Awaitable, Callable

from .instance import Instance
from .ledger import Entry
from .pace import Pace
from .slots import Status
from .tasks import Tasks


class Run:
    """From the arrival of a request until its slot is free again.

    LM Studio finishes a prompt whose client has left ("If the model is busy processing the prompt, it will
    finish first"), so a prompt is processed in a task of the engine. A generation stops with its client.
    """

    def __init__(self, instance: Instance, status: Status, entry: Entry, tasks: Tasks) -> None:
        self._instance = instance
        self._slots = instance.slots
        self._entry = entry
        self._tasks = tasks
        self._prefill: asyncio.Task[None] | None = None
        self._use = instance.begin(status)

    async def get_slot(self) -> None:
        """Wait for a slot. Raises the error by which the instance ended the request, as all methods do."""
        await self._use.awakened.wait()
        self._use.check()

    def process_prompt(self, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Start the processing of the prompt, which goes on if the caller is cancelled."""
        self._prefill = self._tasks.start(self._process(work))
        return self._prefill

    async def read_prompt(self, pace: Pace, tokens: int) -> None:
        """Process a batch of the prompt."""
        _, prompts = self._slots.load()
        await pace.prompt(tokens, pace.prompt_speed(prompts))
        self._use.check()
        self._slots.take(self._use, tokens)
        self._use.check()
        self._entry.read_prompt(tokens)

    async def await_token(self, pace: Pace) -> None:
        """Wait for the next token, at the speed that the other requests in slots leave to this one."""
        if self._slots.is_stalled():
            await self._slots.until_not_stalled()
            pace.restart()
        await pace.token(pace.token_speed(*self._slots.load()))

    def produce_token(self) -> None:
        self._use.check()
        self._slots.take(self._use, 1)
        self._use.check()
        self._entry.produced_token()

    def finish(self) -> None:
        self._instance.end(self._use)
        self._entry.finish()

    def abort(self) -> None:
        """The client has left, or the request failed: free the slot when the prompt has been processed."""
        self._entry.leave()
        if self._prefill is None or self._prefill.done():
            self._give_up()
        else:
            self._prefill.add_done_callback(self._give_up)

    async def _process(self, work: Callable[[], Awaitable[None]]) -> None:
        await work()
        self._slots.end_prompt(self._use)

    def _give_up(self, _: object = None) -> None:
        self._instance.end(self._use)
        self._entry.abort()
