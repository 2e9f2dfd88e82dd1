"""Whether one box is up, and when it is to be greeted and woken: pure, with the time handed in."""

from __future__ import annotations

from typing import Literal

State = Literal["unknown", "up", "down", "waking"]

# Between the beginnings of two greetings, whatever happens. It is also the time-out of one.
LEAST_SECONDS = 2.0
UP_SECONDS = 10.0
# After a first failure, so that a box that hangs is soon known to be down.
RETRY_SECONDS = 2.0
# While it is down: so often at first, then less often, and after that only when it is needed.
DOWN_SECONDS = 5.0
DOWN_OFTEN_SECONDS = 60.0
DOWN_LATER_SECONDS = 60.0
DOWN_GREETED_SECONDS = DOWN_OFTEN_SECONDS + 600.0
WAKING_SECONDS = 2.0
PACKET_SECONDS = 10.0


class Presence:
    """Whether one box is up, and when it is to be greeted next.

    All times are in seconds of one monotonic clock. `state` is "unknown" until a greeting was answered or two
    failed; requests may go to such a box as to one that is up. It is of the last time that was handed in: a
    wake that has timed out ends in the next call of any method that takes the time.
    """

    def __init__(self, idle_seconds: float, now: float) -> None:
        """It is idle when nothing was asked for `idle_seconds` (inf: never). This moment counts as use."""
        self._idle_seconds = idle_seconds
        self._state: State = "unknown"
        self._used_at = now
        # As if one had been sent, so that the first one is due now.
        self._greeted_at = now - UP_SECONDS
        self._failures = 0
        self._down_at = now
        # A greeting that is due sooner than the interval says.
        self._due: float | None = None
        self._wake_until: float | None = None
        self._packet_due = now

    @property
    def state(self) -> State:
        return self._state

    @property
    def wake_until(self) -> float | None:
        """When the wake times out, None if there is none."""
        return self._wake_until

    # ── Use ────────────────────────────────────────────────────────────────────────────────────────────────

    def used(self, now: float) -> None:
        """Record that something was asked of it.

        A box that was idle, or that is down and wasn't greeted in the last 5 s, is then due at once.
        """
        was_idle = self.is_idle(now)
        self._used_at = now
        if self._state == "down":
            self._greet_from(max(now, self._greeted_at + DOWN_SECONDS))
        elif was_idle:
            self._greet_from(now)

    def is_idle(self, now: float) -> bool:
        """True if nothing was asked of it for `idle_seconds`. While it is woken, somebody waits for it."""
        self._end_wake(now)
        return self._wake_until is None and now - self._used_at >= self._idle_seconds

    @property
    def idle_at(self) -> float:
        """When it is idle if nothing more is asked of it, inf for never."""
        return self._used_at + self._idle_seconds

    def change_idle(self, idle_seconds: float) -> None:
        """Have it idle after another time without use."""
        self._idle_seconds = idle_seconds

    def refused(self, now: float) -> None:
        """Record that a request's connection was refused, or broke before the first byte.

        It counts as use, and not as a failure: the connection may have been an old one. A greeting is due at
        once, of a box that is down as after `used`.
        """
        self.used(now)
        if self._state != "down":
            self._greet_from(now)

    # ── Greetings ──────────────────────────────────────────────────────────────────────────────────────────

    def suspected(self, now: float) -> None:
        """Record that a connection to it was lost: it may be down, so a greeting is due at once.

        It isn't use: an idle box stays idle.
        """
        if self._state != "down" and not self.is_idle(now):
            self._greet_from(now)

    def is_due_if_used(self, now: float) -> bool:
        """True if `used` would have a greeting due at once of a box that is down."""
        return self._greeted_at + DOWN_SECONDS <= now

    def next_greeting(self, now: float) -> float | None:
        """Return when the next greeting is due, which may be in the past; None while it is left alone.

        One that would only be due when it is idle is none.
        """
        if self.is_idle(now):
            return None
        times = [at for at in (self._due, self._next_regular()) if at is not None]
        if not times:
            return None
        due = max(min(times), self._greeted_at + LEAST_SECONDS)
        return due if self._wake_until is not None or due - self._used_at < self._idle_seconds else None

    def greeting_began(self, now: float) -> None:
        self._end_wake(now)
        self._greeted_at, self._due = now, None

    def answered(self, now: float) -> None:
        """Record that it answered a greeting, or sent bytes or load progress: it is up.

        Failures are forgotten. It isn't use: a box that answers greetings may still become idle.
        """
        self._end_wake(now)
        self._leave_wake(now)
        self._state, self._failures, self._due = "up", 0, None

    def failed(self, now: float) -> None:
        """Record that a greeting failed. Two in a row are down; while it is woken, they don't count."""
        self._end_wake(now)
        if self._state in {"down", "waking"}:
            return
        self._failures += 1
        if self._failures >= 2:
            self._go_down(now)
        else:
            self._greet_from(now + RETRY_SECONDS)

    # ── Waking ─────────────────────────────────────────────────────────────────────────────────────────────

    def wake(self, now: float, timeout_seconds: float) -> None:
        """Begin a wake, in any state, or prolong the one that runs. It counts as use until it ends.

        It ends when the box answers, or after `timeout_seconds`: then the box is down.
        """
        self.used(now)
        until = now + timeout_seconds
        if self._wake_until is not None:
            self._wake_until = max(self._wake_until, until)
            return
        # Also a box that counts as up: it may have fallen asleep while it was left alone.
        self._state, self._wake_until = "waking", until
        self._packet_due = self._due = now

    def next_packet(self, now: float) -> float | None:
        """Return when the next magic packet is due, None if there is none before the wake ends."""
        self._end_wake(now)
        if self._wake_until is None or self._packet_due >= self._wake_until:
            return None
        return self._packet_due

    def packet_sent(self, now: float) -> None:
        self._packet_due = now + PACKET_SECONDS

    # ── State ──────────────────────────────────────────────────────────────────────────────────────────────

    def _greet_from(self, at: float) -> None:
        self._due = at if self._due is None else min(at, self._due)

    def _next_regular(self) -> float | None:
        """Return when the next greeting is due by the interval of this state, None if there is none."""
        match self._state:
            case "waking":
                return self._greeted_at + WAKING_SECONDS
            case "down":
                return self._next_while_down()
        return self._greeted_at + UP_SECONDS

    def _next_while_down(self) -> float | None:
        often, later = self._greeted_at + DOWN_SECONDS, self._greeted_at + DOWN_LATER_SECONDS
        if often <= self._down_at + DOWN_OFTEN_SECONDS:
            return often
        return later if later <= self._down_at + DOWN_GREETED_SECONDS else None

    def _go_down(self, now: float) -> None:
        self._state, self._down_at, self._due = "down", now, None

    def _end_wake(self, now: float) -> None:
        """End a wake that has timed out."""
        if self._wake_until is not None and now >= self._wake_until:
            ended = self._wake_until
            self._leave_wake(ended)
            self._go_down(ended)

    def _leave_wake(self, now: float) -> None:
        if self._wake_until is not None:
            self._wake_until, self._used_at = None, max(self._used_at, now)
