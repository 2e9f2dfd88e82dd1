"""Examples of the JSON of /admin/keys."""

from __future__ import annotations

from msgspec import structs

from ...schema.keys import (
    Counted,
    Key,
    KeyLimits,
    KeyList,
    KeyRevoked,
    KeyStanding,
    KeyWithSecret,
    LimitsReport,
    OwnKey,
    RotateRequest,
)
from .examples import MODEL, NOW
from .key_bodies import KeyPatch, NewKeyBody

NAME = "alice"
_LIMITS = KeyLimits(requests_per_minute=30, tokens_per_day=200_000)

NEW = NewKeyBody(name=NAME, models=("qwen*",), model=MODEL, limits=_LIMITS, note="Alice's laptop")
PATCH = KeyPatch(scopes=("inference", "tools"), limits=_LIMITS)
KEY = Key(
    name=NAME,
    id="3fB1xQ7z",
    scopes=("inference",),
    models=("qwen*",),
    addresses=(),
    share=1.0,
    priority="interactive",
    model=MODEL,
    limits=_LIMITS,
    note="Alice's laptop",
    created_at=NOW,
    last_used_at=NOW,
    recent_addresses=1,
)
OWN = OwnKey(
    key=KEY,
    used=Counted(requests_per_minute=2, tokens_per_day=1_500),
    left=Counted(requests_per_minute=28, tokens_per_day=198_500),
)
LIMITS = LimitsReport(keys=(KeyStanding(key=NAME, limits=_LIMITS, used=OWN.used, left=OWN.left, running=1),))
KEYS = KeyList(keys=(KEY,))
# Not in a key's form, so that no search for keys finds it.
MADE = KeyWithSecret(**structs.asdict(KEY), key="sk-lm-3fB1xQ7z:…")
ROTATE = RotateRequest(grace_seconds=86_400)
REVOKED = KeyRevoked(name=NAME)
