"""An example of each of the gateway's own responses, made from its Struct, so that it is never outdated."""

from __future__ import annotations

from msgspec import structs

from ... import __version__
from ...observe.events import InferenceComplete, InferenceStart, RequestDispatched, RequestQueued
from ...schema.debug import (
    CancelledRequest,
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
from ...schema.health import Health, Reachability, Readiness, Root
from ...schema.model_list import DownloadedModelReport, LoadedModelReport, ModelList
from ...schema.models import (
    ActivateAnswer,
    ActivateRequest,
    ActiveModel,
    ActiveModels,
    CancelAnswer,
    DeactivateRequest,
    DefaultInference,
    DownloadedModel,
    InstanceRequest,
    LoadAnswer,
    LoadConfig,
    LoadRequest,
    UnloadAnswer,
    UnloadRequest,
)
from ...schema.pages import DashboardAccess, QrRequest
from ...schema.queue import KeyShare, QueueInstance, QueueReport, RunningLease, WaitingRequest

REQUEST_ID = "req_4f1d2c3b5a69788796a5b4c3"
MODEL = "qwen2.5-7b-instruct"
EMBEDDING_MODEL = "text-embedding-nomic-embed-text-v1.5"
NOW = "2026-03-14T09:26:53.589Z"
CLIENT = "192.168.1.20"
BOX = "lmstudio"

_DEFAULTS = DefaultInference(temperature=0.7, max_tokens=500)
_ACTIVE = ActiveModel(model_key=MODEL, default_inference=_DEFAULTS)
_USAGE = TokenUsage(prompt_tokens=25, completion_tokens=120, total_tokens=145, reasoning_tokens=48)
_ON_DISK = DownloadedModel(
    model_key=MODEL,
    path="lmstudio-community/Qwen2.5-7B-Instruct-GGUF/Qwen2.5-7B-Instruct-Q4_K_M.gguf",
    type="llm",
    display_name="Qwen2.5 7B Instruct",
    size=4683073184,
    publisher="lmstudio-community",
    format="gguf",
    architecture="qwen2",
    params_string="7B",
    quantization="Q4_K_M",
    vision=False,
    trained_for_tool_use=True,
    max_context_length=32768,
)

# ── Models ─────────────────────────────────────────────────────────────────────────────────────────

MODELS = ModelList(
    loaded=(
        LoadedModelReport(
            **structs.asdict(_ON_DISK),
            identifier=MODEL,
            context_length=8192,
            ttl_ms=None,
            active=True,
            box=BOX,
            state="resident",
            origin="on-demand",
            pinned=False,
            slots=4,
            running=1,
            waiting=2,
            idle_ms=0,
            idle_limit_ms=3_600_000,
        ),
    ),
    downloaded=(
        DownloadedModelReport(**structs.asdict(_ON_DISK), aliases=("gpt-4o",), pinned=False, boxes=(BOX,)),
    ),
)
LOAD = LoadRequest(
    model_key=MODEL,
    load_config=LoadConfig(context_length=8192, flash_attention=True),
    ttl_seconds=3600,
    default_inference=_DEFAULTS,
)
LOADED = LoadAnswer(
    model_key=MODEL,
    instance_id=None,
    identifier=MODEL,
    box=BOX,
    activated=True,
    total_time_ms=3120,
    load_config={"contextLength": 8192, "flashAttention": True},
    ignored=(),
    warnings=(),
    message=f"{MODEL} is loaded and is now the active model.",
)
INSTANCE = InstanceRequest(model_key=MODEL)
LOAD_CANCELLED = CancelAnswer(
    model_key=MODEL, instance_id=None, message=f"The load of {MODEL} was cancelled."
)
UNLOAD = UnloadRequest(model_key=MODEL, drain_seconds=60)
UNLOADED = UnloadAnswer(
    status="unloaded",
    model_key=MODEL,
    instance_id=None,
    total_time_ms=84,
    message=f"Unloaded {MODEL}.",
)
NOT_UNLOADED = UnloadAnswer(
    status="not_found",
    model_key=MODEL,
    instance_id=None,
    message=f"Nothing named {MODEL} is loaded; GET /admin/models lists what is.",
    error="Model not found",
)
ACTIVATE = ActivateRequest(model_key=MODEL, default_inference=_DEFAULTS)
ACTIVATED = ActivateAnswer(
    model_key=MODEL,
    instance_id=None,
    default_inference=_DEFAULTS,
    message=f"{MODEL} is now the active model.",
)
DEACTIVATE = DeactivateRequest(type="embedding")
DEACTIVATED = ActiveModels(active_model=_ACTIVE)
ACTIVE = ActiveModels(active_model=_ACTIVE, active_embedding_model=ActiveModel(model_key=EMBEDDING_MODEL))

# ── Monitoring ───────────────────────────────────────────────────────────────────────────────────

_OPERATION = CurrentOperation(
    type="inference", model_key=MODEL, progress=1.0, started_at=NOW, elapsed_ms=1450
)
_RECENT = StatusRow(
    request_id=REQUEST_ID,
    status="completed",
    tokens_generated=120,
    token_usage=_USAGE,
    time_ms=3300,
    timestamp=NOW,
)
STATUS = StatusReport(
    status="processing_inference",
    current_operation=_OPERATION,
    active_model=_ACTIVE,
    recent_requests=[_RECENT],
    total_requests=1,
    total_errors=0,
)
METRICS = MetricsReport(
    model_info=_ACTIVE,
    performance=Performance(
        total_requests=1,
        total_errors=0,
        error_rate=0.0,
        recent_request_count=1,
        completed_request_count=1,
        avg_response_time_ms=3300.0,
        min_response_time_ms=3300,
        max_response_time_ms=3300,
        median_response_time_ms=3300.0,
        avg_tokens_per_sec=41.2,
        total_tokens_processed=145,
        requests_with_token_data=1,
        token_stats=TokenStats(
            total_prompt_tokens=25,
            total_completion_tokens=120,
            avg_prompt_tokens=25.0,
            avg_completion_tokens=120.0,
        ),
    ),
    recent_activity=RecentActivity(last10_requests=[_RECENT]),
    system=SystemReport(
        uptime=93784.2,
        uptime_formatted="1d 2h 3m 4s",
        memory_usage=MemoryUsage(rss=58.3),
        platform="linux",
        python_version="3.11.7",
    ),
    current_operation=_OPERATION,
)
REQUESTS = RequestsReport(
    running=[
        RunningRequest(
            request_id=REQUEST_ID,
            method="POST",
            path="/v1/chat/completions",
            model=MODEL,
            served_model=None,
            client=CLIENT,
            key="alice",
            stream=True,
            phase="generating",
            prompt_progress=None,
            tokens=51,
            tokens_per_second=41.2,
            started_at=NOW,
            elapsed_ms=1450,
        )
    ],
    recent=[
        EndedRequest(
            request_id=REQUEST_ID,
            method="POST",
            path="/v1/chat/completions",
            model=MODEL,
            served_model=None,
            client=CLIENT,
            key="alice",
            outcome="completed",
            status=200,
            error=None,
            mended=[],
            tokens=_USAGE.completion_tokens,
            token_usage=_USAGE,
            ttft_ms=210,
            tokens_per_second=41.2,
            total_time_ms=3300,
            timestamp=NOW,
        )
    ],
    last_hour=[Sample(timestamp=NOW, ttft_ms=210, tokens_per_second=41.2)],
)
QUEUE = QueueReport(
    instances=[
        QueueInstance(
            box=BOX,
            instance=MODEL,
            model=MODEL,
            state="resident",
            slots=4,
            ours=1,
            outside=0,
            idle_ms=0,
            pinned=False,
            origin="on-demand",
        )
    ],
    waiting=[
        WaitingRequest(
            request_id="req_4f1d2c3b5a69788796a5b4c4",
            key="bob",
            priority="background",
            model=MODEL,
            reason="key_limit",
            ahead=0,
            waited_ms=8_200,
            eta_ms=1_100,
        )
    ],
    running=[
        RunningLease(
            request_id=REQUEST_ID, key="alice", model=MODEL, box=BOX, phase="generating", gpu_ms=1450
        )
    ],
    keys=[
        KeyShare(key="alice", share=2.0, running=1, waiting=0, gpu_ms=512_000, behind_ms=0),
        KeyShare(key="bob", share=1.0, running=0, waiting=1, gpu_ms=240_000, behind_ms=16_000),
    ],
)
REQUEST_CANCELLED = CancelledRequest(request_id=REQUEST_ID)
EVENTS = (
    InferenceStart(
        timestamp=NOW,
        request_id=REQUEST_ID,
        method="POST",
        path="/v1/chat/completions",
        model=MODEL,
        client=CLIENT,
        key="owner",
        box=BOX,
    ),
    RequestQueued(
        timestamp=NOW,
        request_id=REQUEST_ID,
        key="owner",
        model=MODEL,
        priority="interactive",
        reason="slot",
        ahead=2,
        eta_ms=9_000,
    ),
    RequestDispatched(timestamp=NOW, request_id=REQUEST_ID, waited_ms=8_200, model=MODEL, box=BOX),
    InferenceComplete(
        timestamp=NOW,
        request_id=REQUEST_ID,
        total_time_ms=11_500,
        token_usage=_USAGE,
        status=200,
        ttft_ms=210,
        tokens_per_second=41.2,
        stream=True,
        key="owner",
        box=BOX,
        queued_ms=8_200,
        gpu_ms=3_300,
    ),
)
PROMETHEUS = f"""\
# HELP lmgateway_in_flight Proxied requests that run
# TYPE lmgateway_in_flight gauge
lmgateway_in_flight 1.0
# HELP lmgateway_build_info Versions
# TYPE lmgateway_build_info gauge
lmgateway_build_info{{python="3.11.7",version="{__version__}"}} 1.0
"""

# ── Health and pages ───────────────────────────────────────────────────────────────────────────────

ROOT = Root(name="lmgateway", dashboard="/dashboard", docs="/docs")
HEALTH = Health(timestamp=NOW, uptime=93784.2)
READY = Readiness(
    status="ok", lmstudio=Reachability(reachable=True, latency_ms=4, base_url="http://127.0.0.1:1234")
)
NOT_READY = Readiness(
    status="unavailable",
    lmstudio=Reachability(reachable=False, latency_ms=None, base_url="http://127.0.0.1:1234"),
)
ACCESS = DashboardAccess(key_needed=True)
QR = QrRequest(text="http://192.168.1.20:8002/dashboard")
