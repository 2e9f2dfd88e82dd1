"""The rules for new requests, which a reload replaces."""

from __future__ import annotations

from collections.abc import Callable

from .ruleset import Ruleset


class RulesInForce:
    """The owner of the rules for new requests; a reload replaces them."""

    def __init__(self, rules: Ruleset) -> None:
        self.current = rules
        # Called with all rules that are put in force while they are in this set. They must not raise. (A
        # context manager for each request would take 1 µs more.)
        self.judges: set[Callable[[Ruleset], None]] = set()

    def replace(self, rules: Ruleset) -> None:
        """Put these rules in force, and have everything judged again that lasts beyond a request."""
        before, self.current = self.current, rules
        before.retire()
        for judge in tuple(self.judges):
            judge(rules)
