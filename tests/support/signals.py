"""The signals of processes that tests start."""

from __future__ import annotations

import signal


def start_children_interruptible() -> None:
    """Let Ctrl-C reach the processes that tests start, though the tests run as a background job.

    A script's shell starts `pytest &` with SIGINT ignored. An ignored signal stays ignored across exec, and a
    signal with a handler is reset to its default. So with a handler that does nothing this process goes on
    ignoring SIGINT, as its shell asked, and its children don't.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda _number, _frame: None)
