"""The JSON of /admin/keys."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from msgspec import UNSET, Meta, UnsetType, field

from .common import Message, Name, RequestBody, about
from .models import DefaultInference

Scope = Literal["inference", "tools", "models", "observe", "log", "admin"]
SCOPES: frozenset[Scope] = frozenset(get_args(Scope))
Priority = Literal["interactive", "background"]
Change = Literal["made", "changed", "rotated", "revoked"]

KeyName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}\Z",
        description="At most 64 lower-case letters, digits, `.`, `_` and `-`; first a letter or a digit.",
    ),
]
Time = Annotated[
    str,
    Meta(max_length=64, description="A date, which begins at midnight of the gateway's zone, or ISO 8601."),
]
_Globs = Annotated[
    tuple[Name, ...], Meta(min_length=1, max_length=100, description="Globs of model keys, with `*` and `?`.")
]
_Addresses = Annotated[
    tuple[Annotated[str, Meta(max_length=64)], ...],
    Meta(
        max_length=100,
        description="Addresses and networks whose clients are this key's caller if they send no key.",
    ),
]
_Limit = Annotated[int, Meta(ge=1, le=10**12)]
_HeaderName = Annotated[
    str,
    Meta(
        pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}\Z",
        description="A header field's name of at most 64 characters, such as `X-User`.",
    ),
]


class KeyLimits(RequestBody, frozen=True, kw_only=True, omit_defaults=True):
    """What a key may use. A limit that isn't set is unlimited."""

    running: Annotated[_Limit, about("Requests that run at once; more of them wait.")] | None = None
    requests_per_minute: _Limit | None = None
    tokens_per_minute: Annotated[_Limit, about("Tokens of prompts and of completions.")] | None = None
    tokens_per_day: Annotated[_Limit, about("From midnight to midnight of the gateway's zone.")] | None = None


class KeySettings(RequestBody, frozen=True, kw_only=True):
    """A key's rights, defaults and limits."""

    scopes: Annotated[tuple[Scope, ...], about("What the key opens.")] = ("inference",)
    models: _Globs = ("*",)
    addresses: _Addresses = ()
    share: Annotated[
        float, Meta(ge=0.1, le=100, description="Its weight when the GPU's time is divided among keys.")
    ] = 1.0
    priority: Annotated[
        Priority, about("Interactive requests go before background ones, for two minutes.")
    ] = field(default="interactive", name="class")
    model: Annotated[Name, about("The model of requests that name none.")] | None = None
    default_inference: (
        Annotated[DefaultInference, about("The defaults of fields that requests omit.")] | None
    ) = None
    user_header: (
        Annotated[
            _HeaderName, about("The header field in which an app names its user: its users take turns.")
        ]
        | None
    ) = None
    limits: KeyLimits = KeyLimits()
    note: Annotated[str, Meta(max_length=1000)] | None = None
    expires_at: Time | None = None


class NewKey(KeySettings, frozen=True, kw_only=True):
    """A key to make."""

    name: KeyName


class Key(Message, frozen=True, kw_only=True):
    """A named key. A field that isn't set is absent."""

    name: str
    id: (
        Annotated[str, about("The first eight characters after `sk-lm-`. A rotation changes it.")] | UnsetType
    ) = UNSET
    scopes: tuple[Scope, ...]
    models: tuple[str, ...]
    addresses: tuple[str, ...]
    share: float
    priority: Priority = field(name="class")
    model: str | UnsetType = UNSET
    default_inference: DefaultInference | UnsetType = UNSET
    user_header: str | UnsetType = UNSET
    limits: KeyLimits
    note: str | UnsetType = UNSET
    expires_at: str | UnsetType = UNSET
    created_at: str | UnsetType = UNSET
    last_used_at: str | UnsetType = UNSET
    recent_addresses: Annotated[int, about("How many addresses have used it in the last 24 hours.")] = 0


class KeyList(Message, frozen=True, kw_only=True):
    keys: tuple[Key, ...]


class KeyWithSecret(Key, frozen=True, kw_only=True):
    """A key that was made or rotated."""

    key: Annotated[str, about("The key itself. It is shown only now.")]


class RotateRequest(RequestBody, frozen=True, kw_only=True):
    grace_seconds: (
        Annotated[
            float, Meta(ge=0, le=10**9, description="How long the previous key stays valid. By default 0.")
        ]
        | None
    ) = None


class KeyRevoked(Message, frozen=True, kw_only=True):
    status: Literal["revoked"] = "revoked"
    name: str


class Counted(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Requests and tokens of the current minute and day."""

    requests_per_minute: int | UnsetType = UNSET
    tokens_per_minute: int | UnsetType = UNSET
    tokens_per_day: int | UnsetType = UNSET


class OwnKey(Message, frozen=True, kw_only=True):
    """The caller's own key, what it has used, and what its limits leave."""

    key: Key
    used: Counted
    left: Annotated[Counted, about("Only what is limited.")]


class KeyStanding(Message, frozen=True, kw_only=True):
    """The limits of a key, what it has used of them, and what they leave."""

    key: Annotated[str, about("The key's name.")]
    limits: KeyLimits
    used: Counted
    left: Annotated[Counted, about("Only what is limited.")]
    running: Annotated[int, about("Its requests that run now.")]


class LimitsReport(Message, frozen=True, kw_only=True):
    keys: tuple[KeyStanding, ...]
