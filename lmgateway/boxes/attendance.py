"""Greets one box as often as its use asks for, wakes its machine, and lets it rest when it is idle."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf

from .. import background
from ..config import LMStudio
from .presence import Presence, State
from .signs_of_life import SignsOfLife
from .wake import MagicPackets

logger = logging.getLogger(__name__)

GREETING_SECONDS = 2.0
USUAL_IDLE_MINUTES = 10.0
OnChange = Callable[[State, str], None]
"""Receives a box's new state, and why it has changed."""


def _now() -> float:
    """Return the loop's time, by which its timers run too."""
    return asyncio.get_running_loop().time()


_REASONS = {
    "up": "LM Studio answers",
    "down": "LM Studio doesn't answer",
    "waking": "it is woken up",
    "unknown": "",
}


class Attendance:
    """The owner of one box's presence, and of the task that greets it.

    `greet` asks LM Studio for its greeting, and returns whether it has answered, None if nothing has.
    `is_busy` returns whether requests or loads are in progress on it: then it isn't idle. `on_rest` is called
    when the box begins or ends to rest, and `on_silence` when a box that is down hasn't answered a greeting.
    None of them may raise.
    """

    def __init__(
        self,
        name: str,
        config: LMStudio,
        signs: SignsOfLife,
        greet: Callable[[], Awaitable[bool | None]],
        *,
        is_busy: Callable[[], bool],
        on_change: OnChange,
        on_rest: Callable[[bool], None],
        on_silence: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._config = config
        self._signs = signs
        self._greet = greet
        self._on_change = on_change
        self._on_rest = on_rest
        self._on_silence = on_silence
        self._is_busy = is_busy
        self._presence = Presence(_idle_seconds(config), _now())
        self._packets = MagicPackets()
        self._state: State = "unknown"
        self._is_asking = False
        self.is_resting = False
        self.latency_ms: int | None = None
        self._woken = asyncio.Event()
        # Replaced with each change of the state.
        self._has_changed = asyncio.Event()
        self._is_closed = False
        self._task: asyncio.Task[None] | None = None

    # ── State ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def state(self) -> State:
        return self._state

    @property
    def is_up(self) -> bool:
        """True if requests may go to it: LM Studio answers, or hasn't been asked yet."""
        return self._state in {"up", "unknown"}

    @property
    def is_left_alone(self) -> bool:
        """True if nothing may be sent to it without need: it is idle, or doesn't answer."""
        return self.is_resting or not self.is_up

    @property
    def may_be_asleep(self) -> bool:
        """True if a magic packet may wake it, and it doesn't answer or was left alone."""
        return bool(self._config.wake_mac) and self.is_left_alone

    @property
    def may_answer(self) -> bool:
        """True if it counts as down, but is being greeted, or is as soon as it is used."""
        return self._state == "down" and (self._is_asking or self._presence.is_due_if_used(_now()))

    # ── Events ─────────────────────────────────────────────────────────────────────────────────────────────

    def reconfigure(self, config: LMStudio) -> None:
        """Follow new settings of the same address."""
        if config != self._config:
            self._config = config
            self._presence.change_idle(_idle_seconds(config))
            self._woken.set()

    def used(self) -> None:
        """Take in that a request or an operation needs the box."""
        self._presence.used(_now())
        if self.is_resting or not self.is_up:
            self._rest(False)
            self._woken.set()

    def refused(self) -> None:
        """Take in that a request couldn't be sent, or got no response: it may be down."""
        self._presence.refused(_now())
        self._woken.set()

    def suspected(self) -> None:
        """Take in that a connection to the box was lost: it may be down."""
        self._presence.suspected(_now())
        self._woken.set()

    def wake(self, reason: str) -> None:
        """Wake the machine, and have LM Studio asked until it answers or the time is over.

        One that was left alone counts as up, but may have fallen asleep.
        """
        needs_packet = self.may_be_asleep and self._state != "waking"
        self.used()
        if needs_packet:
            self._presence.wake(_now(), self._config.wake_timeout_ms / 1000 or inf)
            self._settle(reason)
            self._woken.set()

    async def awaken(self, reason: str) -> bool:
        """Wake the machine, and return whether LM Studio answers when that has ended."""
        self.wake(reason)
        while self._state == "waking" and not self._is_closed:
            await self._has_changed.wait()
        return self.is_up

    # ── The task ───────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        self._task = background.start(background.restarting(self._attend))

    async def close(self) -> None:
        self._is_closed = True
        self._has_changed.set()
        if self._task is not None:
            await background.end(self._task)

    async def _attend(self) -> None:
        while True:
            self._woken.clear()
            now = _now()
            if self._is_busy():
                self._presence.used(now)
            self._rest(self._presence.is_idle(now))
            self._settle()  # a wake may have timed out
            packet = self._presence.next_packet(now)
            if packet is not None and packet <= now:
                self._presence.packet_sent(now)
                await self._packets.send_packet(self._config.wake_mac, self._config.wake_address)
            greeting = self._presence.next_greeting(now)
            if greeting is not None and greeting <= now:
                await self._ask()
                continue
            await self._pause(now, greeting, packet)

    async def _pause(self, now: float, greeting: float | None, packet: float | None) -> None:
        dues = [due for due in (greeting, packet, self._presence.wake_until) if due is not None]
        if not self.is_resting:
            dues.append(self._presence.idle_at)
        with suppress(TimeoutError):
            due = min(dues, default=inf)
            async with asyncio.timeout(None if due == inf else max(due - now, 0.0)):
                await self._woken.wait()

    async def _ask(self) -> None:
        began = _now()
        self._presence.greeting_began(began)
        self._signs.heard, self._is_asking = False, True
        try:
            answered = await self._greet()
        finally:
            self._is_asking = False
        now = _now()
        # What it sends meanwhile says as much: while it is busy, its greeting may be late.
        if answered or (answered is None and self._signs.heard):
            self.latency_ms = round((now - began) * 1000) if answered else self.latency_ms
            self._presence.answered(now)
        else:
            self._presence.failed(now)
        was_down = self._state == "down"
        self._settle()
        if was_down and self._state == "down":
            self._on_silence()

    def _settle(self, reason: str = "") -> None:
        """Tell of a new state."""
        before, state = self._state, self._presence.state
        if state == before:
            return
        reason = reason or _REASONS[state]
        self._state = state
        self._has_changed.set()
        self._has_changed = asyncio.Event()
        if state != "up":
            self.latency_ms = None
        if before == "unknown" and state == "up":
            logger.debug("%s: %s", self._name, reason)
        else:
            logger.info("box %s is %s: %s", self._name, state, reason)
        self._on_change(state, reason)

    def _rest(self, is_resting: bool) -> None:
        if is_resting != self.is_resting:
            self.is_resting = is_resting
            self._on_rest(is_resting)


def keeps_watch(config: LMStudio) -> bool:
    """True if the machine of the only box may sleep."""
    return bool(config.wake_mac) or config.idle_minutes is not None


def _idle_seconds(config: LMStudio) -> float:
    minutes = USUAL_IDLE_MINUTES if config.idle_minutes is None else config.idle_minutes
    return minutes * 60 or inf
