"""Which models are in memory: the gateway's rule, LM Studio's own and llama-swap's, on the same arrivals.

    python -m tests.bench.fairness.memory

An hour of requests for two models, by a virtual clock, which takes a few seconds. There is room for one of
them. Each has four slots; a load takes 5 s and an unload 0.5 s. An answer takes 4 to 12 s, also beside
others. Nobody asks again for an answer that was cut off.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from statistics import quantiles

from tests.bench.tables import table

from .arrivals import MODELS, PAUSES, arrivals
from .gateway import Gateway
from .just_in_time import JustInTime
from .swap_when_idle import SwapWhenIdle
from .world import Outcome, Policy, World

POLICIES: Mapping[str, Callable[[], Policy]] = {
    "lmgateway": Gateway,
    "LM Studio's own, just in time": JustInTime,
    "swap when idle, as llama-swap does": SwapWhenIdle,
}


def play(policy: Callable[[], Policy], pauses: Mapping[str, float], seconds: float, seed: int) -> Outcome:
    """Return what comes of a list's requests. Nothing is in memory at first."""
    return World(policy()).play(arrivals(pauses, seconds, seed), seconds)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.fairness.memory",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--hours", type=float, default=1.0, help="how long each list is (1)")
    parser.add_argument("--seed", type=int, default=1, help="of the arrivals (1)")
    options = parser.parse_args(arguments)
    seconds = options.hours * 3600
    for name, pauses in PAUSES.items():
        rows = [
            _row(rule, play(policy, pauses, seconds, options.seed), seconds)
            for rule, policy in POLICIES.items()
        ]
        each = ", ".join(f"{key} {pause:g} s" for key, pause in pauses.items())
        print(f"{name}: a request of each key every {each} on average\n")
        heads = ("rule", "answered", "cut off", "loads", "time in loads", "parts of a / b / c / d, %")
        print(table((*heads, "waits p50 / p95 / longest, s", "those of d, s"), rows), end="\n\n")


def _row(rule: str, outcome: Outcome, seconds: float) -> tuple[str, ...]:
    return (
        rule,
        f"{outcome.answered.total():,}",
        f"{outcome.cut_off.total():,}",
        f"{outcome.loads:,}",
        f"{outcome.loading_seconds / seconds:.1%}",
        " / ".join(f"{100 * outcome.part(key):.0f}" for key in MODELS),
        _waits(list(chain(*outcome.waits.values()))),
        _waits(outcome.waits.get("d", ())),
    )


def _waits(waits: Sequence[float]) -> str:
    if len(waits) < 2:
        return ""
    cuts = quantiles(waits, n=20, method="inclusive")
    return " / ".join(f"{seconds:,.0f}" for seconds in (cuts[9], cuts[18], max(waits)))


if __name__ == "__main__":
    main()
