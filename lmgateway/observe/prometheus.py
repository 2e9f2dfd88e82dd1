"""The metrics for Prometheus: counted as plain numbers, rendered in the text format on request."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily

from .exposition import build_info, counter, of_tallies, text_of
from .model_labels import BoundedLabels
from .record import RequestRecord
from .tallies import Tally


class Metrics:
    """The owner of the counters and histograms."""

    def __init__(self) -> None:
        self._labels = BoundedLabels()
        # By route, model, key and box, "" as long as there is only one.
        self._tallies: dict[tuple[str, str, str, str], Tally] = {}
        self._operations: Counter[tuple[str, str]] = Counter()
        self._worst_lag = 0.0

    def ended(self, record: RequestRecord, model: str) -> None:
        """Count an exchange that has ended, for the model of this name."""
        labels = (record.route, self._labels.of(model), record.key, record.box if record.chose_box else "")
        tally = self._tallies.get(labels)
        if tally is None:
            tally = self._tallies[labels] = Tally()
        status = "aborted" if record.outcome == "aborted" else f"{record.status // 100}xx"
        tally.by_status[status] += 1
        tally.seconds.observe(record.total_ms / 1000)
        if record.ttft_ms is not None:
            tally.first_token.observe(record.ttft_ms / 1000)
        if record.tokens_per_second is not None:
            tally.speed.observe(record.tokens_per_second)
        if (usage := record.usage) is not None:
            tally.tokens["in"] += usage.prompt_tokens
            tally.tokens["out"] += usage.completion_tokens
            if usage.reasoning_tokens is not None:
                tally.reasoning_tokens += usage.reasoning_tokens

    def operation(self, kind: str, *, succeeded: bool) -> None:
        self._operations[kind, "success" if succeeded else "failure"] += 1

    def lag(self, seconds: float) -> None:
        self._worst_lag = max(self._worst_lag, seconds)

    def render(
        self,
        *,
        in_flight: int,
        reachable: Mapping[str, bool | None],
        subscribers: int,
        lost_events: int,
        storage_errors: int,
    ) -> Iterator[bytes]:
        """Yield the text format in pieces, each of which takes a few milliseconds.

        `reachable` is by box, None until its LM Studio was first asked.
        """
        now: dict[str, tuple[str, float]] = {
            "in_flight": ("Proxied requests that run", in_flight),
            "event_loop_lag_seconds": (
                "How late the event loop was at worst since last asked",
                self._worst_lag,
            ),
            "tasks": ("Tasks of the event loop", len(asyncio.all_tasks())),
            "event_subscribers": ("Readers of /debug/stream", subscribers),
            "events_lost": ("Events that slow readers of /debug/stream lost", lost_events),
        }
        known = {box: answered for box, answered in reachable.items() if answered is not None}
        if known:
            answered = any(known.values())
            now["upstream_reachable"] = ("Whether LM Studio answered when it was last asked", answered)
        self._worst_lag = 0.0
        gauges = [GaugeMetricFamily(f"lmgateway_{name}", text, value) for name, (text, value) in now.items()]
        if len(reachable) > 1:
            of_boxes = GaugeMetricFamily(
                "lmgateway_box_reachable", "Whether a box answered when it was last asked", labels=["box"]
            )
            for box, answered in known.items():
                of_boxes.add_metric((box,), answered)
            gauges.append(of_boxes)
        unsaved = counter("storage_errors", "Changes that could not be written to the database")
        unsaved.add_metric((), storage_errors)
        operations = counter("model_operations", "Model operations", "operation", "result")
        for kind, number in self._operations.items():
            operations.add_metric(kind, number)
        shown = 4 if any(labels[3] for labels in self._tallies) else 3
        yield from of_tallies([(labels[:shown], tally) for labels, tally in self._tallies.items()])
        for family in (operations, unsaved, *gauges, build_info()):
            yield text_of(family)
