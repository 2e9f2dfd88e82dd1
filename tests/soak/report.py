"""The report of a run: the table during it, its figures, and the reasons why it failed."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from .books import Books
from .load import Results
from .processes import Log, Running
from .samples import Figure, Sample, Samples

SPARE_DESCRIPTORS = 5
KEPT_COMPLAINTS = 20


class Summary(Struct, frozen=True, kw_only=True):
    """Figures of one run. `requests` are counted by kind and then by outcome."""

    seed: int
    minutes: float
    restarts: int
    requests: dict[str, dict[str, int]]
    unexpected_total: int
    unexpected: list[str]
    resident_mb: Figure[float]
    memory_mb_per_hour: float | None
    descriptors: Figure[int]
    tasks: Figure[int] | None
    in_flight: Figure[int]
    worst_lag_ms: float
    proxied: dict[str, int]
    log: Log
    exit_status: int | None
    reasons: list[str]


def summarize(
    seed: int, restarts: int, results: Results, samples: Samples, books: Books, gateway: Running
) -> Summary:
    requests: dict[str, dict[str, int]] = {}
    for (kind, outcome), number in sorted(results.outcomes.items()):
        requests.setdefault(kind, {})[outcome] = number
    last = samples.all[-1]
    return Summary(
        seed=seed,
        minutes=round(last.seconds / 60, 2),
        restarts=restarts,
        requests=requests,
        unexpected_total=results.unexpected_total,
        unexpected=results.unexpected,
        resident_mb=samples.figure(lambda sample: round(sample.resident_mb, 1)),
        memory_mb_per_hour=samples.memory_mb_per_hour(),
        descriptors=samples.figure(lambda sample: sample.descriptors),
        tasks=samples.tasks(),
        in_flight=samples.figure(lambda sample: sample.in_flight),
        worst_lag_ms=round(max(sample.lag_ms for sample in samples.all), 1),
        proxied={
            "started": books.started,
            "completed": books.completed,
            "failed": books.failed,
            "unknown": books.missed,
            "counted": last.ended,
        },
        log=gateway.log,
        exit_status=gateway.exit_status,
        reasons=list(_reasons(results, samples, books, gateway)),
    )


def _reasons(results: Results, samples: Samples, books: Books, gateway: Running) -> Iterator[str]:
    log = gateway.log
    first, last = samples.all[0], samples.all[-1]
    if results.unexpected_total:
        yield f"{results.unexpected_total} unexpected results"
    if last.descriptors > first.descriptors + SPARE_DESCRIPTORS:
        yield f"{last.descriptors} descriptors at the end, {first.descriptors} at the start"
    if last.in_flight:
        yield f"{last.in_flight} requests still in flight"
    if not books.missed and not books.balanced:
        yield f"begun and never ended: {sorted(books.running)[:5]}; {'; '.join(books.mistakes[:5])}"
    if not books.missed and books.started != last.ended - first.ended:
        yield f"{books.started} requests began, {last.ended - first.ended} were counted"
    if log.tracebacks or log.errors:
        yield f"{log.tracebacks} tracebacks and {log.errors} errors in the gateway's log"
    if log.strange:
        yield f"{log.strange} lines in the gateway's log that are no entries"
    if gateway.ended_by_itself or gateway.exit_status != 0:
        when = "ended by itself" if gateway.ended_by_itself else "ended"
        yield f"the gateway {when} with status {gateway.exit_status}"


HEADINGS = ("time", "proxied", "unexpected", "MB", "fds", "in flight", "readers", "lag ms", "restarts")


def heading(sample: Sample) -> str:
    names = HEADINGS if sample.tasks is None else (*HEADINGS, "tasks")
    return " ".join(f"{name:>10}" for name in names)


def line(sample: Sample, results: Results, restarts: int) -> str:
    minutes, seconds = divmod(round(sample.seconds), 60)
    cells = [
        f"{minutes}:{seconds:02}",
        sample.ended,
        results.unexpected_total,
        f"{sample.resident_mb:.1f}",
        sample.descriptors,
        sample.in_flight,
        sample.readers,
        f"{sample.lag_ms:.1f}",
        restarts,
    ]
    if sample.tasks is not None:
        cells.append(sample.tasks)
    return " ".join(f"{cell:>10}" for cell in cells)


def as_text(summary: Summary) -> str:
    return "\n".join(_lines(summary))


def _lines(summary: Summary) -> Iterator[str]:
    yield ""
    for kind, outcomes in summary.requests.items():
        listed = ", ".join(f"{outcome}: {number}" for outcome, number in outcomes.items())
        yield f"{kind:22}{sum(outcomes.values()):7}  ({listed})"
    yield ""
    yield from (f"UNEXPECTED {sentence}" for sentence in summary.unexpected)
    slope = summary.memory_mb_per_hour
    yield f"memory        {_figure(summary.resident_mb)} MB" + (
        "" if slope is None else f", {slope:+.1f} MB an hour in the second half"
    )
    yield f"descriptors   {_figure(summary.descriptors)}"
    if summary.tasks is not None:
        yield f"tasks         {_figure(summary.tasks)}"
    yield f"in flight     {_figure(summary.in_flight)}"
    yield f"worst lag     {summary.worst_lag_ms} ms"
    yield "proxied       " + ", ".join(f"{name} {number}" for name, number in summary.proxied.items())
    log = summary.log
    yield (
        f"log           {log.lines} lines, {log.warnings} warnings, {log.errors} errors, "
        f"{log.tracebacks} tracebacks"
    )
    yield from (f"              {complaint}" for complaint in log.complaints[:KEPT_COMPLAINTS])
    yield f"seed {summary.seed}, {summary.minutes} minutes, {summary.restarts} restarts of LM Studio"
    yield f"FAILED: {'; '.join(summary.reasons)}" if summary.reasons else "passed"


def _figure(figure: Figure[int] | Figure[float]) -> str:
    return f"{figure.start} at the start, {figure.max} at most, {figure.end} at the end"


def as_json(summary: Summary) -> str:
    return msgspec.json.format(msgspec.json.encode(summary)).decode()
