"""Shows an answer: its text on stdout, everything else on stderr if that is a terminal."""

from __future__ import annotations

import sys
from types import TracebackType

from .output import Coloured, rewrite_line, say, say_piece

_DIM = "2"


class Display:
    """To be used as a context manager: it ends the last line, whatever happened."""

    def __init__(self) -> None:
        self.has_begun = False
        self.shows_waiting = sys.stderr.isatty()
        # Beside an answer that goes elsewhere, its reasoning would only be noise.
        self._shows_reasoning = sys.stdout.isatty() and self.shows_waiting
        self._is_waiting = False
        self._reasons = False
        self._needs_end = False

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is BrokenPipeError:
            return
        self._end_waiting()
        self._end_reasoning()
        if self._needs_end:
            say()

    def waiting(self, text: str) -> None:
        """Show on stderr why there is no answer yet, in place of the last such line."""
        if self.shows_waiting and not self.has_begun:
            self._is_waiting = True
            rewrite_line(text)

    def reasoning(self, text: str) -> None:
        if text and self._shows_reasoning:
            self._begin()
            self._reasons = True
            say_piece(Coloured(text, _DIM), error=True)

    def text(self, text: str) -> None:
        if text:
            self._begin()
            self._end_reasoning()
            self._needs_end = not text.endswith("\n")
            say_piece(text)

    def note(self, sentence: str) -> None:
        if self._shows_reasoning:
            if self._needs_end:
                say()
                self._needs_end = False
            say(Coloured(sentence, _DIM), error=True)

    def _begin(self) -> None:
        self.has_begun = True
        self._end_waiting()

    def _end_waiting(self) -> None:
        if self._is_waiting:
            self._is_waiting = False
            rewrite_line("")

    def _end_reasoning(self) -> None:
        if self._reasons:
            self._reasons = False
            say(error=True)
            say(error=True)
