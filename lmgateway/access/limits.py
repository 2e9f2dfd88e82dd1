"""The owner of what each key has used of its limits of requests and tokens."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from time import monotonic
from typing import Literal

from multidict import istr

from ..errors import DO_NOT_RETRY, RateLimitExceeded
from ..observe.clock import unix_time
from ..observe.exchange import Exchange
from ..schema.keys import Counted, KeyLimits
from .buckets import Bucket, DayCount, Standing, format_seconds, whole_seconds
from .callers import ANYONE, OWNER
from .keyring import NO_KEYS, Keyring

Fields = Mapping[str, str]
Dimension = Literal["requests_per_minute", "tokens_per_minute", "tokens_per_day"]

# What a limit is called in an error: the setting, what it counts, and in what time.
_WORDS: Mapping[Dimension, tuple[str, str]] = {
    "requests_per_minute": ("requestsPerMinute", "requests per minute"),
    "tokens_per_minute": ("tokensPerMinute", "tokens per minute"),
    "tokens_per_day": ("tokensPerDay", "tokens per day"),
}
_OF_REQUESTS, _OF_TOKENS = (
    (
        istr(f"x-ratelimit-limit-{kind}"),
        istr(f"x-ratelimit-remaining-{kind}"),
        istr(f"x-ratelimit-reset-{kind}"),
    )
    for kind in ("requests", "tokens")
)
# They have no limits, but their tokens of the day are shown.
_WITHOUT_LIMITS = frozenset({OWNER.name, ANYONE.name})


class Account:
    """What one key has used."""

    def __init__(self, limits: KeyLimits) -> None:
        self.requests: Bucket | None = None
        self.tokens: Bucket | None = None
        self.day = DayCount()
        self.set(limits)

    def set(self, limits: KeyLimits) -> None:
        """Put these limits in force; what was used stays used."""
        self.requests = _resized(self.requests, limits.requests_per_minute)
        self.tokens = _resized(self.tokens, limits.tokens_per_minute)
        self.tokens_per_day = limits.tokens_per_day
        self.is_limited = (
            limits.requests_per_minute or limits.tokens_per_minute or limits.tokens_per_day
        ) is not None

    def standings(self, now: float, unix: float) -> dict[Dimension, Standing]:
        """Return what each limit leaves at this moment of both clocks."""
        standings: dict[Dimension, Standing] = {}
        if self.requests is not None:
            standings["requests_per_minute"] = self.requests.standing(now)
        if self.tokens is not None:
            standings["tokens_per_minute"] = self.tokens.standing(now)
        if self.tokens_per_day is not None:
            standings["tokens_per_day"] = self.day.standing(self.tokens_per_day, unix)
        return standings

    def fields(self, now: float, unix: float) -> Fields:
        """Return the header fields: of both limits of tokens those of the tighter one, which leaves less."""
        fields: dict[str, str] = {}
        if (requests := self.requests) is not None:
            _add_fields(fields, _OF_REQUESTS, requests.capacity, *requests.left_and_reset(now))
        tokens, per_day = self.tokens, self.tokens_per_day
        left, reset = (inf, 0.0) if tokens is None else tokens.left_and_reset(now)
        # If both leave nothing, the day lasts longer.
        if per_day is not None and ((today := per_day - self.day.used(unix)) <= left or today <= 0):
            _add_fields(fields, _OF_TOKENS, per_day, today, self.day.ends - unix)
        elif tokens is not None:
            _add_fields(fields, _OF_TOKENS, tokens.capacity, left, reset)
        return fields

    def admit(self, key: str) -> None:
        """Count a request. Raises RateLimitExceeded, and counts nothing, if a limit is used up."""
        now, unix = monotonic(), unix_time()
        tokens, per_day, requests = self.tokens, self.tokens_per_day, self.requests
        # The standings of a request that is admitted would take 2 µs more.
        if (
            (tokens is None or tokens.has_room(now))
            and (per_day is None or self.day.used(unix) < per_day)
            and (requests is None or requests.take_one(now))
        ):
            return
        standings = self.standings(now, unix)
        raise _refusal(key, {name: one for name, one in standings.items() if one.wait > 0})

    def give_request_back(self) -> None:
        if self.requests is not None:
            self.requests.give_back(1)

    def take_tokens(self, tokens: int) -> None:
        self.day.take(tokens, unix_time())
        if self.tokens is not None:
            self.tokens.take(tokens, monotonic())


class RateLimits:
    """The accounts of all keys, by name. A key that was revoked has none."""

    def __init__(self) -> None:
        self._ring = NO_KEYS
        self._accounts: dict[str, Account] = {}

    def apply(self, ring: Keyring) -> None:
        """Put the limits of these keys in force, and forget the keys that are gone."""
        self._ring = ring
        for name, account in tuple(self._accounts.items()):
            if (limits := self._limits(name)) is None:
                del self._accounts[name]
            else:
                account.set(limits)

    def restore(self, tokens: Mapping[str, int]) -> None:
        """Count tokens that keys have used today before this start."""
        for name, used in tokens.items():
            if (account := self._account(name)) is not None:
                account.day.take(used, unix_time())

    def admit(self, key: str) -> None:
        """Count a request. Raises RateLimitExceeded, and counts nothing, if a limit is used up."""
        account = self._accounts.get(key) or self._account(key)
        if account is not None and account.is_limited:
            account.admit(key)

    def admit_after_wait(self, key: str) -> None:
        """Check the limits again for a request that was counted, and then had to wait. Raises as `admit`."""
        account = self._account(key)
        if account is not None and account.is_limited:
            account.give_request_back()
            account.admit(key)

    def exchange_ended(self, exchange: Exchange) -> None:
        """Count the tokens of an exchange: those that LM Studio reported, else those that were relayed."""
        count = exchange.count
        if count is None or not (tokens := count.total):
            return
        account = self._accounts.get(exchange.key) or self._account(exchange.key)
        if account is not None:
            account.take_tokens(tokens)

    def headers(self, key: str) -> Fields:
        """Return the x-ratelimit header fields of a response to this key; none if it isn't limited."""
        account = self._accounts.get(key) or self._account(key)
        if account is None or not account.is_limited:
            return {}
        return account.fields(monotonic(), unix_time())

    def used_and_left(self, key: str) -> tuple[Counted, Counted]:
        """Return what the key has used, and what its limits leave."""
        account = self._account(key) or Account(KeyLimits())
        standings = account.standings(monotonic(), unix_time())
        used = {name: standing.limit - standing.left for name, standing in standings.items()}
        left = {name: max(standing.left, 0) for name, standing in standings.items()}
        return Counted(**{**used, "tokens_per_day": account.day.used(unix_time())}), Counted(**left)

    def _account(self, key: str) -> Account | None:
        account = self._accounts.get(key)
        if account is None and (limits := self._limits(key)) is not None:
            account = self._accounts[key] = Account(limits)
        return account

    def _limits(self, key: str) -> KeyLimits | None:
        """Return the limits of a key, None if there is no such key."""
        named = self._ring.keys.get(key)
        if named is not None:
            return named.settings.limits
        return KeyLimits() if key in _WITHOUT_LIMITS else None


def _resized(bucket: Bucket | None, capacity: int | None) -> Bucket | None:
    if capacity is None:
        return None
    if bucket is None:
        return Bucket(capacity)
    if bucket.capacity != capacity:
        bucket.resize(capacity, monotonic())
    return bucket


def _refusal(key: str, exceeded: Mapping[Dimension, Standing]) -> RateLimitExceeded:
    name, standing = max(exceeded.items(), key=lambda item: item[1].wait)
    setting, what = _WORDS[name]
    seconds = max(whole_seconds(standing.wait), 1)
    until = f"in {format_seconds(seconds)}"
    if name == "tokens_per_day":
        until = f"at midnight, {until}"
    headers = {"Retry-After": str(seconds)}
    if "tokens_per_day" in exceeded:
        headers |= DO_NOT_RETRY  # libraries would sleep for hours
    sentence = f"The key {key} has used up its {standing.limit} {what} (limits.{setting})."
    return RateLimitExceeded(f"{sentence} There is room again {until}.", headers=headers)


def _add_fields(
    fields: dict[str, str], names: tuple[istr, istr, istr], limit: int, left: float, reset: float
) -> None:
    of_limit, of_left, of_reset = names
    fields[of_limit] = f"{limit}"
    fields[of_left] = f"{left}" if left > 0 else "0"
    fields[of_reset] = format_seconds(reset)
