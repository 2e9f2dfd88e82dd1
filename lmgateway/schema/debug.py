"""The JSON of /debug."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from .common import Message
from .models import ActiveModel

Status = Literal["idle", "loading_model", "processing_inference", "error"]
Outcome = Literal["completed", "failed", "aborted", "cancelled"]
Phase = Literal["waiting", "prompt", "generating"]


class TokenUsage(Message, frozen=True, gc=False):
    """The tokens of the prompt, of the completion, and their sum.

    `reasoning_tokens` is the part of the completion that is reasoning, `cached_tokens` the part of the prompt
    that LM Studio had in its cache. They are null if LM Studio doesn't report them.
    """

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


class CancelledRequest(Message, frozen=True, kw_only=True):
    status: Literal["cancelled"] = "cancelled"
    request_id: str


class CurrentOperation(Message, frozen=True, kw_only=True):
    type: Literal["model_load", "model_unload", "model_activate", "inference"]
    model_key: str | None
    progress: float
    started_at: str
    elapsed_ms: int


class StatusRow(Message, frozen=True, kw_only=True):
    request_id: str
    status: Literal["pending", "completed", "failed"]
    tokens_generated: int | UnsetType = UNSET
    token_usage: TokenUsage | UnsetType = UNSET
    time_ms: int
    timestamp: str


class StatusReport(Message, frozen=True, kw_only=True):
    status: Status
    current_operation: CurrentOperation | None
    active_model: ActiveModel | None
    recent_requests: list[StatusRow]
    total_requests: int
    total_errors: int


class TokenStats(Message, frozen=True, kw_only=True):
    total_prompt_tokens: int
    total_completion_tokens: int
    avg_prompt_tokens: float
    avg_completion_tokens: float


class Performance(Message, frozen=True, kw_only=True):
    """Statistics of the last 100 requests. Rates are in percent, times in milliseconds; 0 means no data.

    `total_errors` counts failed requests and failed model operations; `error_rate` is their share of all
    requests and model operations.
    """

    total_requests: int
    total_errors: int
    error_rate: float
    recent_request_count: int
    completed_request_count: int
    avg_response_time_ms: float
    min_response_time_ms: int
    max_response_time_ms: int
    median_response_time_ms: float
    avg_tokens_per_sec: float
    total_tokens_processed: int
    requests_with_token_data: int
    token_stats: TokenStats | UnsetType = UNSET


class MemoryUsage(Message, frozen=True, kw_only=True):
    """The memory of the gateway's process, in megabytes."""

    rss: float


class SystemReport(Message, frozen=True, kw_only=True):
    """The gateway's process. `uptime` is in seconds."""

    uptime: float
    uptime_formatted: str
    memory_usage: MemoryUsage
    platform: str
    python_version: str


class RecentActivity(Message, frozen=True, kw_only=True):
    last10_requests: list[StatusRow]


class MetricsReport(Message, frozen=True, kw_only=True):
    model_info: ActiveModel | None
    performance: Performance
    recent_activity: RecentActivity
    system: SystemReport
    current_operation: CurrentOperation | None


class RunningRequest(Message, frozen=True, kw_only=True):
    """`served_model` answers in place of `model`; null if it is the same model, or unknown.

    `key` is the name of the caller's key.
    """

    request_id: str
    method: str
    path: str
    model: str | None
    served_model: str | None
    client: str
    key: str
    stream: bool
    phase: Phase
    prompt_progress: float | None
    tokens: int
    tokens_per_second: float | None
    started_at: str
    elapsed_ms: int


class EndedRequest(Message, frozen=True, kw_only=True):
    """`served_model` answered in place of `model`; null if it is the same model, or unknown.

    `mended` names what the gateway changed in the request, because LM Studio had refused it.
    `key` is the name of the caller's key.
    """

    request_id: str
    method: str
    path: str
    model: str | None
    served_model: str | None
    client: str
    key: str
    outcome: Outcome
    status: int | None
    error: str | None
    mended: list[str]
    tokens: int
    token_usage: TokenUsage | None
    ttft_ms: int | None
    tokens_per_second: float | None
    total_time_ms: int
    timestamp: str


class Sample(Message, frozen=True, kw_only=True):
    timestamp: str
    ttft_ms: int | None
    tokens_per_second: float | None


class RequestsReport(Message, frozen=True, kw_only=True):
    """The running requests, the last 100 that ended, and the last hour's speeds."""

    running: list[RunningRequest]
    recent: list[EndedRequest]
    last_hour: list[Sample]
