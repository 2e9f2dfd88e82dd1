"""`lmgateway keys`: lists, makes, changes, rotates and revokes the keys of a running gateway."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec

from ..observe.clock import iso_timestamp, unix_time
from ..schema.keys import KeyName
from . import sign_in_code
from .app_address import app_url
from .assignments import assigned_values, json_or_text
from .failures import EX_DATAERR, EX_NOPERM, EX_USAGE, RequestFailed
from .gateway_client import GatewayClient
from .key_tables import describe, overview
from .models import ask_gateway
from .output import say, say_answer, say_table
from .times import checked

_KEYS = "/admin/keys"
_NOTHING = {"", "none", "never"}
# In the name only, which ends at the "=".
_KEBAB = re.compile(r"-([a-z])(?=.*=)", re.ASCII)
_SPAN = re.compile(r"([0-9]{1,6})([hdw])", re.ASCII)
_SPAN_SECONDS = {"h": 3_600, "d": 86_400, "w": 604_800}
_FIRST = (
    "From now on every request needs a key. Set GATEWAY_API_KEY to this one for the commands, or give it "
    "with --key."
)


def listing(options: argparse.Namespace) -> int:
    async def ask(gateway: GatewayClient) -> int:
        answer = await gateway.request("GET", _KEYS)
        if options.json:
            return say_answer(answer)
        if answer["keys"]:
            say_table(overview(answer["keys"], unix_time()))
        else:
            say("There are no named keys. `lmgateway keys add NAME` makes one.")
        return 0

    return ask_gateway(options, ask)


def add(options: argparse.Namespace) -> int:
    body = {"name": options.name, **_settings(options)}
    if body.get("models", ()) is None:
        # An unset variable of a script mustn't open all models.
        raise RequestFailed(
            "--model is empty. Name a model, or leave the option out for all of them.", EX_USAGE
        )

    async def ask(gateway: GatewayClient) -> int:
        # Before the first key is made: after it, this request would need one.
        url = "" if options.json else await app_url(options, gateway)
        key = await _made(gateway, body)
        if options.json:
            return say_answer(key)
        say(f"The key {key['name']} is made. {_may_use(key)}")
        _say_secret(options, url, key["key"])
        if key["addresses"]:
            say(f"Clients at {', '.join(key['addresses'])} need no key.")
        if not gateway.sends_key:
            say(_FIRST)
        return 0

    return ask_gateway(options, ask)


async def _made(gateway: GatewayClient, body: Mapping[str, object]) -> Any:
    try:
        return await gateway.request("POST", _KEYS, body)
    except RequestFailed as exc:
        begin = f"There is a key {body['name']} already."
        if exc.http_status != HTTPStatus.CONFLICT or not str(exc).startswith(begin):
            raise
        message = f"{begin} `lmgateway keys set {body['name']}` changes it, or choose another name."
        raise RequestFailed(message, exc.exit_status) from exc


def change(options: argparse.Namespace) -> int:
    path, body = _path(options.name), _settings(options)
    if not body:
        raise RequestFailed("There is nothing to change. Give a setting, such as --note TEXT.", EX_USAGE)

    async def ask(gateway: GatewayClient) -> int:
        key = await gateway.request("PATCH", path, body)
        if options.json:
            return say_answer(key)
        say(f"The key {key['name']} is changed. {_may_use(key)}")
        return 0

    return ask_gateway(options, ask)


def show(options: argparse.Namespace) -> int:
    is_own = options.name in {None, "self"}  # no key has that name
    path = f"{_KEYS}/self" if is_own else _path(options.name)

    async def ask(gateway: GatewayClient) -> int:
        answer = await gateway.request("GET", path)
        if options.json:
            return say_answer(answer)
        if is_own:
            key, used, left = (answer[name] for name in ("key", "used", "left"))
        else:
            key, (used, left) = answer, await _standing(gateway, answer["name"])
        say_table(describe(key, used, left, unix_time()))
        return 0

    return ask_gateway(options, ask)


async def _standing(gateway: GatewayClient, name: str) -> tuple[Any, Any]:
    """Return what a key with limits has used, and what is left of them: nothing for one without."""
    try:
        report = await gateway.request("GET", "/debug/limits")
    except RequestFailed as exc:
        if exc.exit_status != EX_NOPERM:  # the scope `observe` is for this, `admin` for the key
            raise
        return {}, {}
    return next(((one["used"], one["left"]) for one in report["keys"] if one["key"] == name), ({}, {}))


def rotate(options: argparse.Namespace) -> int:
    path = f"{_path(options.name)}/rotate"
    body = {} if options.grace is None else {"graceSeconds": json_or_text(options.grace)}

    async def ask(gateway: GatewayClient) -> int:
        key = await gateway.request("POST", path, body)
        if options.json:
            return say_answer(key)
        url = await app_url(options, gateway)
        ends = f"is valid for {options.grace} s more" if body.get("graceSeconds") else "is no longer accepted"
        say(f"The key {key['name']} is replaced. The previous one {ends}.")
        _say_secret(options, url, key["key"])
        return 0

    return ask_gateway(options, ask)


def revoke(options: argparse.Namespace) -> int:
    path = _path(options.name)

    async def ask(gateway: GatewayClient) -> int:
        answer = await gateway.request("DELETE", path)
        if options.json:
            return say_answer(answer)
        say(f"The key {answer['name']} is revoked: it is no longer accepted, and its requests are ended.")
        return 0

    return ask_gateway(options, ask)


def _path(name: str) -> str:
    """Return the path of a key. Raises RequestFailed for a name that no key can have, such as `..`."""
    try:
        return f"{_KEYS}/{quote(msgspec.convert(name, KeyName))}"
    except msgspec.ValidationError as exc:
        message = f"{name!r} can't be a key's name, which begins with a lower-case letter or a digit."
        raise RequestFailed(message, EX_DATAERR) from exc


def _settings(options: argparse.Namespace) -> dict[str, object]:
    """Return the settings that the options name, in the API's JSON; null takes one away.

    The gateway checks names and values, so that its errors are the same for every client.
    """
    return {name: read(getattr(options, name)) for name, read in _READERS.items() if hasattr(options, name)}


def _text(text: str) -> str | None:
    return text or None


def _value(text: str) -> Any:
    return None if text.lower() in _NOTHING else json_or_text(text)


def _entries(items: list[str]) -> list[str] | None:
    return [item for item in items if item] or None


def _scopes(items: list[str]) -> list[str] | None:
    return _entries([scope.strip() for item in items for scope in item.split(",")])


def _members(option: str, items: list[str]) -> dict[str, Any] | None:
    if items == [""]:
        return None
    return assigned_values(option, items, _value)


def _limits(items: list[str]) -> dict[str, Any] | None:
    """As `_members`, with names in the API's spelling: `requests-per-minute` is `requestsPerMinute`."""
    return _members("--limit", [_KEBAB.sub(lambda match: match[1].upper(), item) for item in items])


def _end(text: str) -> str | None:
    if text.lower() in _NOTHING:
        return None
    span = _SPAN.fullmatch(text)
    return checked("--expires", text) if span is None else _after(int(span[1]) * _SPAN_SECONDS[span[2]], text)


def _after(seconds: float, text: str) -> str:
    try:
        return iso_timestamp(unix_time() + seconds)
    except (OverflowError, ValueError) as exc:
        raise RequestFailed(f"--expires {text}: no calendar goes that far. Write never.", EX_DATAERR) from exc


_READERS: Mapping[str, Callable[[Any], object]] = {
    "scopes": _scopes,
    "models": _entries,
    "addresses": _entries,
    "share": _value,
    "class": _text,
    "model": _text,
    "defaultInference": partial(_members, "--default"),
    "userHeader": _text,
    "limits": _limits,
    "note": _text,
    "expiresAt": _end,
}


def _may_use(key: Mapping[str, Any]) -> str:
    return f"Its scopes: {', '.join(key['scopes'])}. Its models: {', '.join(key['models'])}."


def _say_secret(options: argparse.Namespace, url: str, secret: str) -> None:
    say("Copy it now: it is shown only this once, because the gateway stores only its hash.")
    say()
    say(secret)
    say()
    say(f"An app needs it as its API key, and as base URL {url}/v1 (OpenAI's API) or {url} (Anthropic's).")
    if options.qr:
        say()
        sign_in_code.show(url, secret)
