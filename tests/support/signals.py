"""How the tests' own process treats signals, as far as the processes that it starts are concerned."""

from __future__ import annotations

import signal


def start_children_interruptible() -> None:
    """Let Ctrl-C reach the processes that tests start, though the tests run as a background job.

    A shell starts `pytest &` with SIGINT ignored. An ignored signal stays ignored across exec, and sh can't trap
    it either; one with a handler is reset to its default. So a handler that does nothing keeps this process deaf,
    as its shell asked, and its children as they are on a terminal.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda _number, _frame: None)
