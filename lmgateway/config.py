"""The configuration: a frozen Struct for each TOML table, with each setting's type, default and variables.

`settings.load` fills it from the command line, the environment, `.env` and the TOML file.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from yarl import URL

from .networks import Allowlist, Networks, TrustedProxies, parse_base_url
from .schema.models import DefaultInference, LoadConfig
from .setting_types import (
    NETWORKS,
    PROXIES,
    Aliases,
    BaseUrl,
    BoxName,
    Bytes,
    Count,
    CountOrHalf,
    Days,
    Environment,
    FilePath,
    Flag,
    HeadBytes,
    Host,
    HostAndPort,
    HostNames,
    KeepAliveForm,
    Key,
    LogFormat,
    LogLevel,
    MacAddress,
    Milliseconds,
    Minutes,
    ModelNames,
    Origins,
    Path,
    Pause,
    Port,
    Seconds,
    Share,
    Slots,
)

# The name of the box that `lmstudio` describes, while `boxes` has none.
ONLY_BOX = "lmstudio"


def env(*names: str, secret: bool = False) -> Meta:
    """Name the environment variables of a setting; the first that is set counts. A secret is never shown."""
    return Meta(extra={"env": names, "secret": secret})


def seconds(limit: Milliseconds) -> float | None:
    """Return a limit in seconds, None for no limit."""
    return limit / 1000 if limit else None


class Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the TOML file."""


class LMStudio(Table, frozen=True, kw_only=True):
    base_url: Annotated[BaseUrl, env("LMSTUDIO_BASE_URL")] = URL("http://127.0.0.1:1234")
    api_token: Annotated[Key, env("LMSTUDIO_API_TOKEN", secret=True)] = ""
    connect_attempts: Annotated[Count, env("LMSTUDIO_CONNECT_ATTEMPTS")] = 3
    connect_pause_ms: Annotated[Milliseconds, env("LMSTUDIO_CONNECT_PAUSE")] = 2_000
    call_timeout_ms: Annotated[Milliseconds, env("LMSTUDIO_CALL_TIMEOUT")] = 10_000
    load_timeout_ms: Annotated[Milliseconds, env("LMSTUDIO_LOAD_TIMEOUT")] = 120_000
    log_dir: Annotated[Path, env("LMSTUDIO_LOG_DIR")] = FilePath()
    log_monitoring: Annotated[Flag, env("ENABLE_LOG_MONITORING")] = False
    wake_mac: Annotated[MacAddress, env("LMSTUDIO_WAKE_MAC")] = ""
    wake_address: Annotated[HostAndPort, env("LMSTUDIO_WAKE_ADDRESS")] = "255.255.255.255:9"
    wake_timeout_ms: Annotated[Pause, env("LMSTUDIO_WAKE_TIMEOUT")] = 120_000
    # None means not set: 10 for a box that may sleep, and never for the only one without `wake_mac`.
    idle_minutes: Annotated[Minutes | None, env("LMSTUDIO_IDLE_MINUTES")] = None


class Server(Table, frozen=True, kw_only=True):
    host: Annotated[Host, env("GATEWAY_HOST")] = "0.0.0.0"  # noqa: S104 - protected mode guards it
    port: Annotated[Port, env("GATEWAY_PORT")] = 8002
    names: Annotated[HostNames, env("GATEWAY_NAMES")] = ()
    tls_cert: Annotated[Path, env("GATEWAY_TLS_CERT")] = FilePath()
    tls_key: Annotated[Path, env("GATEWAY_TLS_KEY")] = FilePath()
    drain_seconds: Annotated[Seconds, env("GATEWAY_DRAIN_SECONDS")] = 30.0
    # systemd sets STATE_DIRECTORY for a unit with StateDirectory=.
    state_dir: Annotated[Path, env("GATEWAY_STATE_DIR", "STATE_DIRECTORY")] = FilePath()


class Auth(Table, frozen=True, kw_only=True):
    api_key: Annotated[Key, env("GATEWAY_API_KEY", secret=True)] = ""
    require_for_health: Annotated[Flag, env("REQUIRE_AUTH_FOR_HEALTH")] = False


class Network(Table, frozen=True, kw_only=True):
    # None means not set, which differs from "*": without a key it means protected mode.
    ip_allowlist: Annotated[Allowlist | None, NETWORKS, env("IP_ALLOWLIST")] = None
    trusted_proxies: Annotated[TrustedProxies, PROXIES, env("TRUSTED_PROXIES")] = TrustedProxies(())


class Logging(Table, frozen=True, kw_only=True):
    level: Annotated[LogLevel, env("LOG_LEVEL")] = "info"
    format: Annotated[LogFormat, env("LOG_FORMAT")] = "auto"


class Proxy(Table, frozen=True, kw_only=True):
    timeout_ms: Annotated[Milliseconds, env("PROXY_TIMEOUT")] = 1_800_000
    stream_timeout_ms: Annotated[Milliseconds, env("PROXY_STREAM_TIMEOUT")] = 0
    max_body_bytes: Annotated[Bytes, env("MAX_BODY_BYTES")] = 64 * 1024**2
    max_upload_bytes: Annotated[Bytes, env("MAX_UPLOAD_BYTES")] = 1024**3
    account_streams: Annotated[Flag, env("ACCOUNT_STREAMS")] = True


class Limits(Table, frozen=True, kw_only=True):
    head_bytes: Annotated[HeadBytes, env("LIMIT_HEAD_BYTES")] = 32 * 1024
    head_ms: Annotated[Milliseconds, env("LIMIT_HEAD")] = 15_000
    idle_ms: Annotated[Milliseconds, env("LIMIT_IDLE")] = 75_000
    body_pause_ms: Annotated[Milliseconds, env("LIMIT_BODY_PAUSE")] = 30_000
    body_ms: Annotated[Milliseconds, env("LIMIT_BODY")] = 600_000
    send_stall_ms: Annotated[Milliseconds, env("LIMIT_SEND_STALL")] = 60_000
    connections_per_address: Annotated[Count, env("LIMIT_CONNECTIONS_PER_ADDRESS")] = 2_000
    requests: Annotated[Count, env("LIMIT_REQUESTS")] = 2_000
    requests_per_address: Annotated[
        CountOrHalf, env("LIMIT_REQUESTS_PER_ADDRESS", "LIMITS_REQUESTS_PER_ADDRESS")
    ] = 0
    bodies_bytes: Annotated[Bytes, env("LIMIT_BODIES_BYTES", "LIMITS_BODIES_BYTES")] = 1024**3
    subscribers: Annotated[Count, env("LIMIT_SUBSCRIBERS")] = 500

    @property
    def share_of_requests(self) -> int:
        """How many of the requests may be of one address: half of them if that is 0."""
        return self.requests_per_address or (self.requests + 1) // 2


class Cors(Table, frozen=True, kw_only=True):
    # None: every origin if a key is configured, otherwise none.
    origins: Annotated[Origins | None, env("CORS_ORIGINS")] = None


class Compat(Table, frozen=True, kw_only=True):
    mend: Annotated[Flag, env("COMPAT_MEND")] = True


class Usage(Table, frozen=True, kw_only=True):
    keep_days: Annotated[Days, env("USAGE_KEEP_DAYS")] = 400


class Queue(Table, frozen=True, kw_only=True):
    enabled: Annotated[Flag, env("QUEUE_ENABLED")] = True
    max_waiting: Annotated[Count, env("QUEUE_MAX_WAITING")] = 1_000
    max_waiting_per_key: Annotated[Count, env("QUEUE_MAX_WAITING_PER_KEY")] = 400
    max_waiting_bytes: Annotated[Bytes, env("QUEUE_MAX_WAITING_BYTES")] = 256 * 1024**2
    max_wait_ms: Annotated[Milliseconds, env("QUEUE_MAX_WAIT")] = 600_000
    max_wait_plain_ms: Annotated[Milliseconds, env("QUEUE_MAX_WAIT_PLAIN")] = 240_000
    keepalive_ms: Annotated[Pause, env("QUEUE_KEEPALIVE")] = 15_000
    keepalive_chat: Annotated[KeepAliveForm, env("QUEUE_KEEPALIVE_CHAT")] = "comment"


class Residency(Table, frozen=True, kw_only=True):
    """Which models are in memory. Without the line (`queue.enabled`) it is off too."""

    enabled: Annotated[Flag, env("RESIDENCY_ENABLED")] = True
    max_models: Annotated[Count, env("RESIDENCY_MAX_MODELS")] = 1
    idle_minutes: Annotated[Minutes, env("RESIDENCY_IDLE_MINUTES")] = 60.0
    pin: Annotated[ModelNames, env("RESIDENCY_PIN")] = ()
    swap_share: Annotated[Share, env("RESIDENCY_SWAP_SHARE")] = 0.2
    switch_after_ms: Annotated[Pause, env("RESIDENCY_SWITCH_AFTER")] = 20_000


class ModelProfile(Table, frozen=True, kw_only=True):
    """A model's other names, how it is loaded, and the defaults for fields that its requests omit."""

    aliases: Aliases = ()
    slots: Slots = 0
    context_guard: Flag = True
    # None means not set. An empty one means LM Studio's own settings.
    load: LoadConfig | None = None
    defaults: DefaultInference = DefaultInference()


class Config(Table, frozen=True, kw_only=True):
    """All settings."""

    environment: Annotated[Environment, env("GATEWAY_ENV", "NODE_ENV")] = "development"
    lmstudio: LMStudio = LMStudio()
    server: Server = Server()
    auth: Auth = Auth()
    network: Network = Network()
    logging: Logging = Logging()
    proxy: Proxy = Proxy()
    limits: Limits = Limits()
    cors: Cors = Cors()
    compat: Compat = Compat()
    usage: Usage = Usage()
    queue: Queue = Queue()
    residency: Residency = Residency()
    boxes: Mapping[BoxName, LMStudio] = MappingProxyType({})  # each completed from `lmstudio`
    models: Mapping[str, ModelProfile] = MappingProxyType({})  # by model key

    @property
    def protected(self) -> bool:
        """True if only this machine is served unless there are named keys: no key or allowlist is set."""
        return not self.auth.api_key and self.network.ip_allowlist is None

    @property
    def studios(self) -> Mapping[str, LMStudio]:
        """The settings of each LM Studio by the name of its box, in the order of the configuration."""
        return self.boxes or {ONLY_BOX: self.lmstudio}

    @property
    def keeps_models(self) -> bool:
        """True if the gateway decides which models are in memory."""
        return self.residency.enabled and self.queue.enabled

    @property
    def unguarded(self) -> bool:
        """True if, unless there are named keys, every client is served: no key, and the allowlist is `*`."""
        allowlist = self.network.ip_allowlist
        return not self.auth.api_key and allowlist is not None and allowlist.everybody


def decode_custom(kind: type, value: Any) -> Any:
    """msgspec's hook for the types it doesn't know. Raises ValueError, NotImplementedError."""
    if kind is URL:
        return parse_base_url(value)
    if kind is FilePath:
        return _file_path(value)
    if issubclass(kind, Networks):
        return kind(msgspec.convert(value, tuple[str, ...]))
    raise NotImplementedError(kind)


def _file_path(text: object) -> FilePath:
    if not isinstance(text, str):
        raise ValueError("not text")  # noqa: TRY004 - as above
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise ValueError("contains control characters")
    path = os.path.expanduser(text)  # noqa: PTH111 - Path("") would be ".", but means none
    if path.startswith("~"):
        raise ValueError("unknown user")
    return FilePath(path)
