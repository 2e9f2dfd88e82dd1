"""The console of Windows, as its kernel32 would be called."""

from __future__ import annotations

from typing import Any

from lmgateway.cli.windows_console import show_escape_sequences

STDOUT, STDERR = 100, 200


class Kernel32:
    """stdout is a console of mode 3, stderr a file."""

    def __init__(self) -> None:
        self.set: list[tuple[int, int]] = []

    def GetStdHandle(self, number: int) -> int:  # noqa: N802 - the name in Windows
        return {-11: STDOUT, -12: STDERR}[number]

    def GetConsoleMode(self, handle: int, mode: Any) -> int:  # noqa: N802
        if handle == STDERR:
            return 0
        mode._obj.value = 3
        return 1

    def SetConsoleMode(self, handle: int, mode: int) -> int:  # noqa: N802
        self.set.append((handle, mode))
        return 1


def test_a_console_acts_on_escape_sequences() -> None:
    """ENABLE_VIRTUAL_TERMINAL_PROCESSING is added to its mode; a file is left alone."""
    kernel32 = Kernel32()
    show_escape_sequences(kernel32)
    assert kernel32.set == [(STDOUT, 7)]
