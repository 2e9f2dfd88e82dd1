"""How keys are shown to people."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from lmgateway.cli.key_tables import describe, overview, relative

# 2026-02-10T12:00:00Z
NOW = 1_770_724_800.0
KEY = {
    "name": "alice",
    "scopes": ["inference", "models"],
    "models": ["qwen*", "llama*"],
    "addresses": ["10.0.0.7"],
    "share": 2.0,
    "class": "background",
    "model": "qwen3",
    "defaultInference": {"temperature": 0.5, "topK": None},
    "userHeader": "X-User",
    "limits": {"running": 1, "requestsPerMinute": 30, "tokensPerMinute": 9000, "tokensPerDay": 200_000},
    "note": "laptop",
    "createdAt": "2026-01-01T00:00:00.000Z",
    "lastUsedAt": "2026-02-10T09:30:00.000Z",
    "expiresAt": "2026-02-22T12:00:00.000Z",
    "recentAddresses": 2,
}
EXPIRED = {**KEY, "name": "guest", "limits": {}, "expiresAt": "2026-02-10T11:59:00.000Z"}
LIMITS = "1 at once, 30 requests/min, 9,000 tokens/min, 200,000 tokens/day"


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("timestamp", "shown"),
    [
        ("2026-02-10T11:59:30.000Z", "less than a minute ago"),
        ("2026-02-10T11:59:00.000Z", "1 minute ago"),
        ("2026-02-10T09:30:00.000Z", "2 hours ago"),
        ("2026-02-08T12:00:00.000Z", "2 days ago"),
        ("2026-02-11T12:00:00.000Z", "in 1 day"),
        ("2026-03-12T11:59:58.000Z", "in 30 days"),
        ("2026-02-10T12:00:00.000Z", "less than a minute ago"),
    ],
)
def test_times_are_relative(timestamp: str, shown: str) -> None:
    assert relative(timestamp, NOW) == shown


def test_the_table_marks_what_has_expired() -> None:
    """A key that is refused stands out."""
    _, alice, guest = overview([EXPIRED, KEY], NOW)
    assert alice == (
        "",
        "alice",
        "inference,models",
        "qwen*,llama*",
        LIMITS,
        "2 hours ago",
        "2026-02-22 12:00, in 12 days",
    )
    assert (guest[0], guest[-1]) == ("expired", "2026-02-10 11:59, 1 minute ago")


def test_all_settings_are_described() -> None:
    assert describe(KEY, {}, {}, NOW) == [
        ("name", "alice"),
        ("scopes", "inference, models"),
        ("models", "qwen*, llama*"),
        ("addresses", "10.0.0.7"),
        ("limits", LIMITS),
        ("share", "2"),
        ("class", "background"),
        ("default model", "qwen3"),
        ("defaults", "temperature=0.5"),
        ("user header", "X-User"),
        ("note", "laptop"),
        ("made", "2026-01-01 00:00"),
        ("last used", "2 hours ago"),
        ("addresses today", "2"),
        ("expires", "2026-02-22 12:00, in 12 days"),
    ]


def test_the_owner_is_no_named_key() -> None:
    """It has no time at which it was made, nor one at which it ends."""
    owner = {
        name: KEY[name] for name in ("name", "scopes", "models", "addresses", "share", "class", "limits")
    }
    assert [name for name, _ in describe(owner, {}, {}, NOW)] == [
        *("name", "scopes", "models", "addresses", "limits", "share", "class")
    ]
