"""What a test lets happen to loads: they fail, or hang."""

import asyncio
from collections.abc import Callable
from functools import partial

from .faults import Fault, LoadFailed

CRASH = "Error loading model. (Exit code: null). Please check settings and try loading the model again."


class LoadFault:
    """Strikes loads when their progress has reached `at` (0 to 1), before they report it."""

    def __init__(
        self, model: str | None, *, times: int | None, at: float, error: Callable[[], Fault] | None
    ) -> None:
        self.model = model
        self.times = times
        self.at = at
        self.reached = asyncio.Event()
        """Set when a load has been struck."""
        self._error = error
        self._released = asyncio.Event()

    def release(self, error: Callable[[], Fault] | None = None) -> None:
        """Let the loads that hang go on, or fail: with LoadCancelled as by a click on Cancel."""
        self._error = error
        self._released.set()

    async def strike(self) -> None:
        """Raise the fault's error, at once or when a load that hangs is released."""
        self.reached.set()
        if self._error is None:
            await self._released.wait()
        if self._error is not None:
            raise self._error()


class LoadFaults:
    """The faults in force. A load gets the first one for its model; those used up are gone."""

    def __init__(self) -> None:
        self._faults: list[LoadFault] = []

    def fail(
        self,
        model: str | None = None,
        *,
        times: int | None = None,
        title: str = "Failed to load model",
        cause: str | None = CRASH,
        at: float = 0.5,
    ) -> LoadFault:
        """Let the next `times` loads of the model fail; None: all loads, of all models."""
        return self._add(LoadFault(model, times=times, at=at, error=partial(LoadFailed, cause, title=title)))

    def hang(self, model: str | None = None, *, times: int | None = None, at: float = 0.5) -> LoadFault:
        """Let loads hang until they are cancelled or released. `at=0`: they report no progress at all."""
        return self._add(LoadFault(model, times=times, at=at, error=None))

    def clear(self) -> None:
        """Let all later loads succeed. Those that hang go on hanging."""
        self._faults.clear()

    def take(self, model_key: str) -> LoadFault | None:
        """Return what strikes a load that begins now."""
        for fault in self._faults:
            if fault.model in (None, model_key):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self._faults.remove(fault)
                return fault
        return None

    def _add(self, fault: LoadFault) -> LoadFault:
        self._faults.append(fault)
        return fault
