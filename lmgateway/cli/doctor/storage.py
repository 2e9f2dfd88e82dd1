"""Whether the active models can be remembered."""

from __future__ import annotations

from collections.abc import Iterator

from ...storage.state_file import state_directory, why_unwritable
from .findings import Finding

_CHECK = "state"


def examine(state_dir: str) -> Iterator[Finding]:
    """Try to write where server.state_dir says; what isn't there is not made."""
    folder = state_directory(state_dir)
    reason = why_unwritable(folder)
    if reason is None:
        yield Finding.ok(_CHECK, f"The active models are remembered in {folder}.")
    else:
        yield Finding.problem(
            _CHECK,
            f"The active models can't be remembered in {folder}: {reason}.",
            "Make it writable for whoever runs the gateway, or set server.state_dir.",
        )
