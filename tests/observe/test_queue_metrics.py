"""The metrics of the line: what Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families

from lmgateway.observe.model_labels import MAX_LABELS, OTHER
from lmgateway.observe.queue_metrics import LineFigures, QueueMetrics

IDLE = LineFigures(waiting={}, slots={}, gpu_seconds={}, busy_seconds=0.0, free_while_waiting_seconds=0.0)


def samples(metrics: QueueMetrics, line: LineFigures = IDLE) -> dict[tuple[str, ...], float]:
    """The values by name and labels, without the histograms' buckets and the times of creation."""
    families = text_string_to_metric_families(b"".join(metrics.render(line)).decode())
    return {
        (sample.name.removeprefix("lmgateway_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if "le" not in sample.labels
    }


def made(listed: Iterable[str] = ("qwen",)) -> QueueMetrics:
    names = set(listed)
    return QueueMetrics(lambda name: name if name in names else OTHER)


def test_the_figures_of_the_line_are_rendered() -> None:
    """With the names and labels that dashboards use."""
    line = LineFigures(
        waiting={("interactive", "qwen"): 2, ("background", "qwen"): 1},
        slots={"qwen": 4},
        gpu_seconds={"alice": 12.5, "(outside)": 3.0},
        busy_seconds=15.5,
        free_while_waiting_seconds=0.25,
    )
    assert samples(made(), line) == {
        ("queue_waiting", "interactive", "qwen"): 2,
        ("queue_waiting", "background", "qwen"): 1,
        ("slots", "qwen"): 4,
        ("gpu_seconds_total", "alice"): 12.5,
        ("gpu_seconds_total", "(outside)"): 3,
        ("busy_seconds_total",): 15.5,
        ("free_while_waiting_seconds_total",): 0.25,
        **{("swaps_total", result): 0 for result in ("completed", "revoked", "failed")},
        ("load_seconds_count",): 0,
        ("load_seconds_sum",): 0,
    }


def test_swaps_and_loads_are_counted() -> None:
    metrics = made()
    for result in ("completed", "completed", "revoked"):
        metrics.swap_ended(result)
    for seconds in (4.0, 40.0):
        metrics.loaded(seconds)
    found = samples(metrics)
    assert (found["swaps_total", "completed"], found["swaps_total", "revoked"]) == (2, 1)
    assert (found["load_seconds_count",], found["load_seconds_sum",]) == (2, 44)


def test_waits_and_refusals_are_counted() -> None:
    """A class and model that waited once stays at 0, so that graphs don't break off."""
    metrics = made()
    for seconds in (0.5, 40.0):
        metrics.waited("interactive", "qwen", seconds)
    metrics.refused("wait_expired")
    metrics.refused("queue_full")
    metrics.refused("queue_full")
    found = samples(metrics)
    assert found["queue_wait_seconds_count", "interactive", "qwen"] == 2
    assert found["queue_wait_seconds_sum", "interactive", "qwen"] == 40.5
    assert found["queue_waiting", "interactive", "qwen"] == 0
    assert found["queue_refused_total", "queue_full"] == 2
    assert found["queue_refused_total", "wait_expired"] == 1


def test_the_waits_have_buckets_up_to_ten_minutes() -> None:
    """40 s are in the bucket up to 60 s, not in that up to 30 s."""
    metrics = made()
    metrics.waited("background", "qwen", 40.0)
    text = b"".join(metrics.render(IDLE)).decode()
    for bound, number in (("30.0", 0), ("60.0", 1), ("600.0", 1), ("+Inf", 1)):
        labels = f'class="background",le="{bound}",model="qwen"'
        assert f"lmgateway_queue_wait_seconds_bucket{{{labels}}} {number}.0\n" in text


def test_names_that_clients_invent_share_a_label() -> None:
    """They don't create ever more time series."""
    metrics = made()
    for number in range(10):
        metrics.waited("interactive", f"invented-{number}", 1.0)
    line = LineFigures(
        waiting={("interactive", f"invented-{number}"): 1 for number in range(7)},
        slots={},
        gpu_seconds={},
        busy_seconds=0.0,
        free_while_waiting_seconds=0.0,
    )
    found = samples(metrics, line)
    assert found["queue_wait_seconds_count", "interactive", OTHER] == 10
    assert found["queue_waiting", "interactive", OTHER] == 7


def test_listed_names_are_bounded_too() -> None:
    """Clients may choose the identifiers of instances."""
    names = [f"instance-{number}" for number in range(2 * MAX_LABELS)]
    metrics = made(names)
    for name in names:
        metrics.waited("interactive", name, 1.0)
    counts = {
        key[-1]: value for key, value in samples(metrics).items() if key[0] == "queue_wait_seconds_count"
    }
    assert len(counts) == MAX_LABELS + 1
    assert counts[OTHER] == MAX_LABELS
