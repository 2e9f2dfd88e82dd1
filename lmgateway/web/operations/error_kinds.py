"""Groups of errors that several operations share."""

from __future__ import annotations

from ...access.cors import PageRefused
from ...errors import (
    BadRequest,
    BoxAsleep,
    ContentTooLarge,
    ContextLengthExceeded,
    EndpointNotFound,
    Forbidden,
    GatewayEnding,
    GatewayError,
    HeadTooLarge,
    KeyQueueFull,
    KeysUnreadable,
    LinkLost,
    LoadCancelled,
    LoadFailed,
    LoopDetected,
    Misdirected,
    ModelBlocked,
    ModelNotAllowed,
    ModelNotFound,
    NotFound,
    OutOfMemory,
    Overloaded,
    PreviousResponseNotFound,
    QueueFull,
    RateLimitExceeded,
    RequestCancelled,
    RequestTimeout,
    ScopeMissing,
    StudioFailed,
    TooManyConnections,
    Unauthorized,
    UnsupportedMediaType,
    UpstreamBroke,
    UpstreamSilent,
    UpstreamUnavailable,
    UriTooLong,
    ValidationFailed,
    WaitExpired,
)

Kinds = tuple[type[GatewayError], ...]

# Raised before the path is routed, so in the gateway's own shape on every path.
BEFORE_ROUTING: Kinds = (BadRequest, RequestTimeout, UriTooLong, TooManyConnections, HeadTooLarge)
EVERYWHERE: Kinds = (
    *BEFORE_ROUTING,
    Unauthorized,
    KeysUnreadable,
    Forbidden,
    ScopeMissing,
    PageRefused,
    Misdirected,
    GatewayEnding,
    GatewayError,
)
OF_BODIES: Kinds = (UnsupportedMediaType, ContentTooLarge, Overloaded)
OF_JSON_BODIES: Kinds = (*OF_BODIES, ValidationFailed)
OF_STUDIO_CALLS: Kinds = (StudioFailed, UpstreamUnavailable, LinkLost, UpstreamSilent)
OF_MODELS: Kinds = (*OF_STUDIO_CALLS, ModelNotFound, OutOfMemory)
OF_PROXIED: Kinds = (
    NotFound,
    EndpointNotFound,
    ModelNotFound,
    ModelNotAllowed,
    PreviousResponseNotFound,
    RateLimitExceeded,
    QueueFull,
    KeyQueueFull,
    WaitExpired,
    ModelBlocked,
    BoxAsleep,
    LoadFailed,
    LoadCancelled,
    ContextLengthExceeded,
    *OF_BODIES,
    RequestCancelled,
    UpstreamUnavailable,
    UpstreamBroke,
    UpstreamSilent,
    LoopDetected,
)
