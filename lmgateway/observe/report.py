"""The JSON reports of /debug, made from the activity."""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Sequence
from operator import itemgetter

from msgspec import UNSET

from ..schema.debug import (
    CurrentOperation,
    EndedRequest,
    MemoryUsage,
    MetricsReport,
    Performance,
    RecentActivity,
    RequestsReport,
    RunningRequest,
    Sample,
    StatusReport,
    StatusRow,
    SystemReport,
    TokenStats,
    TokenUsage,
)
from ..schema.models import ActiveModel
from .activity import Activity
from .clock import iso_timestamp
from .exchange import Exchange
from .machine import resident_bytes
from .record import RequestRecord
from .served_model import ModelOf

LAST_REQUESTS = 10


def status_report(activity: Activity, active: ActiveModel | None) -> StatusReport:
    return StatusReport(
        status=activity.status,
        current_operation=_current(activity),
        active_model=active,
        recent_requests=_last_requests(activity),
        total_requests=activity.total_requests,
        total_errors=activity.total_errors,
    )


def metrics_report(activity: Activity, active: ActiveModel | None, started: float) -> MetricsReport:
    """`started` is when the gateway started, by the monotonic clock."""
    uptime = time.monotonic() - started
    return MetricsReport(
        model_info=active,
        performance=_performance(activity),
        recent_activity=RecentActivity(last10_requests=_last_requests(activity)),
        system=SystemReport(
            uptime=round(uptime, 3),
            uptime_formatted=_formatted(uptime),
            memory_usage=MemoryUsage(rss=round(resident_bytes() / 1024**2, 1)),
            platform=sys.platform,
            python_version=platform.python_version(),
        ),
        current_operation=_current(activity),
    )


def requests_report(activity: Activity) -> RequestsReport:
    now = time.monotonic()
    return RequestsReport(
        running=[_running(exchange, now, activity.model_of) for exchange in activity.running],
        recent=[_ended(record) for record in activity.history.recent],
        last_hour=[
            Sample(
                timestamp=iso_timestamp(speed.began),
                ttft_ms=speed.ttft_ms,
                tokens_per_second=speed.tokens_per_second,
            )
            for speed in activity.history.last_hour()
        ],
    )


def _current(activity: Activity) -> CurrentOperation | None:
    for operation in activity.operations.running:
        return CurrentOperation(
            type=operation.type,
            model_key=operation.model_key,
            progress=operation.progress,
            started_at=operation.timestamp,
            elapsed_ms=operation.elapsed_ms,
        )
    for exchange in activity.running:
        if exchange.generates:
            return CurrentOperation(
                type="inference",
                model_key=exchange.model,
                progress=exchange.prompt_progress or 0.0,
                started_at=iso_timestamp(exchange.began),
                elapsed_ms=exchange.elapsed_ms(time.monotonic()),
            )
    return None


def _last_requests(activity: Activity) -> list[StatusRow]:
    now = time.monotonic()
    rows = [(record.started, _finished(record)) for record in activity.history.recent]
    rows += [(exchange.started, _pending(exchange, now)) for exchange in activity.running]
    rows.sort(key=itemgetter(0))
    return [row for _, row in rows[-LAST_REQUESTS:]]


def _finished(record: RequestRecord) -> StatusRow:
    return StatusRow(
        request_id=record.request_id,
        status="completed" if record.outcome == "completed" else "failed",
        tokens_generated=record.tokens or UNSET,
        token_usage=record.usage or UNSET,
        time_ms=record.total_ms,
        timestamp=iso_timestamp(record.began),
    )


def _pending(exchange: Exchange, now: float) -> StatusRow:
    return StatusRow(
        request_id=exchange.request_id,
        status="pending",
        tokens_generated=exchange.tokens or UNSET,
        token_usage=(exchange.count.usage if exchange.count else None) or UNSET,
        time_ms=exchange.elapsed_ms(now),
        timestamp=iso_timestamp(exchange.began),
    )


def _performance(activity: Activity) -> Performance:
    recent = activity.history.recent
    times = [record.total_ms for record in recent] or [0]
    usages = [record.usage for record in recent if record.usage]
    speeds = [(record.tokens, record.tokens_per_second) for record in recent if record.tokens_per_second]
    return Performance(
        total_requests=activity.total_requests,
        total_errors=activity.total_errors,
        error_rate=round(activity.error_rate * 100, 2),
        recent_request_count=len(recent),
        completed_request_count=sum(record.outcome == "completed" for record in recent),
        avg_response_time_ms=round(statistics.fmean(times), 2),
        min_response_time_ms=min(times),
        max_response_time_ms=max(times),
        median_response_time_ms=statistics.median(times),
        avg_tokens_per_sec=round(_average_speed(speeds), 2),
        total_tokens_processed=sum(usage.total_tokens for usage in usages),
        requests_with_token_data=len(usages),
        token_stats=_token_stats(usages) if usages else UNSET,
    )


def _average_speed(speeds: Sequence[tuple[int, float]]) -> float:
    """Return all tokens over all generation time, which weights each answer by its length."""
    seconds = sum(tokens / per_second for tokens, per_second in speeds)
    return sum(tokens for tokens, _ in speeds) / seconds if seconds else 0.0


def _token_stats(usages: Sequence[TokenUsage]) -> TokenStats:
    prompt, completion = (
        [getattr(usage, name) for usage in usages] for name in ("prompt_tokens", "completion_tokens")
    )
    return TokenStats(
        total_prompt_tokens=sum(prompt),
        total_completion_tokens=sum(completion),
        avg_prompt_tokens=round(statistics.fmean(prompt), 2),
        avg_completion_tokens=round(statistics.fmean(completion), 2),
    )


def _running(exchange: Exchange, now: float, model_of: ModelOf) -> RunningRequest:
    return RunningRequest(
        request_id=exchange.request_id,
        method=exchange.method,
        path=exchange.path,
        model=exchange.model,
        served_model=exchange.served_model(model_of),
        client=exchange.client,
        key=exchange.key,
        stream=exchange.stream,
        phase=exchange.phase,
        prompt_progress=exchange.prompt_progress,
        tokens=exchange.tokens,
        tokens_per_second=exchange.tokens_per_second(now),
        started_at=iso_timestamp(exchange.began),
        elapsed_ms=exchange.elapsed_ms(now),
    )


def _ended(record: RequestRecord) -> EndedRequest:
    return EndedRequest(
        request_id=record.request_id,
        method=record.method,
        path=record.path,
        model=record.model,
        served_model=record.served_model,
        client=record.client,
        key=record.key,
        outcome=record.outcome,
        # An aborted or cancelled request got no status, or the 200 of a stream that then broke off.
        status=None if record.outcome in {"aborted", "cancelled"} else record.status,
        error=record.error,
        mended=list(record.mended),
        tokens=record.tokens,
        token_usage=record.usage,
        ttft_ms=record.ttft_ms,
        tokens_per_second=record.tokens_per_second,
        total_time_ms=record.total_ms,
        timestamp=iso_timestamp(record.began),
    )


def _formatted(seconds: float) -> str:
    """Return a duration as `1d 2h 3m 4s`, without leading zeros."""
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (left, "s")]
    while len(parts) > 1 and not parts[0][0]:
        parts.pop(0)
    return " ".join(f"{number}{unit}" for number, unit in parts)
