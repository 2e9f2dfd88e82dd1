"""The console of Windows, which shows colours only to programs that ask for it."""

from __future__ import annotations

import ctypes
from typing import Any

# Of GetStdHandle: STD_OUTPUT_HANDLE and STD_ERROR_HANDLE.
_OUTPUTS = (-11, -12)
_ENABLE_VIRTUAL_TERMINAL_PROCESSING = 4


def show_escape_sequences(kernel32: Any) -> None:
    """Have the consoles of stdout and stderr act on escape sequences. A pipe or a file has no mode."""
    for number in _OUTPUTS:
        handle, mode = kernel32.GetStdHandle(number), ctypes.c_ulong()
        if kernel32.GetConsoleMode(handle, ctypes.byref(mode)):
            kernel32.SetConsoleMode(handle, mode.value | _ENABLE_VIRTUAL_TERMINAL_PROCESSING)
