"""What a key's settings may be beyond their types, and the form in which they are kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from lmgateway.access.key_settings import check_name, check_settings
from lmgateway.errors import ValidationFailed
from lmgateway.observe.clock import parse_time

from .making import NOW, settings


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The gateway's zone is nine hours before UTC."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def paths(**fields: Any) -> list[str]:
    """The paths of all mistakes in these settings."""
    with pytest.raises(ValidationFailed) as caught:
        check_settings(settings(**fields), NOW)
    assert isinstance(caught.value.details, list)
    assert all(mistake["message"] for mistake in caught.value.details)
    return [mistake["path"] for mistake in caught.value.details]


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("addresses", ["10.0.0.1", "10.0.0.300"], "addresses[1]"),
        ("addresses", ["10.0.0.0/33"], "addresses[0]"),
        ("addresses", ["*"], "addresses[0]"),
        ("addresses", ["localhost"], "addresses[0]"),
        ("addresses", [""], "addresses[0]"),
        ("addresses", [" 10.0.0.1"], "addresses[0]"),
        ("models", ["qwen*", " llama*"], "models[1]"),
        ("models", ["llama* "], "models[0]"),
        ("models", ["a\nb"], "models[0]"),
        ("models", [" "], "models[0]"),
        ("userHeader", "Authorization", "userHeader"),
        ("userHeader", "x-api-key", "userHeader"),
        ("userHeader", "COOKIE", "userHeader"),
        ("expiresAt", "tomorrow", "expiresAt"),
        ("expiresAt", "", "expiresAt"),
        ("expiresAt", "2027-02-30", "expiresAt"),
        ("expiresAt", "12:00", "expiresAt"),
        ("expiresAt", "1", "expiresAt"),
        ("expiresAt", "1800000000", "expiresAt"),
        ("expiresAt", "2020-01-01", "expiresAt"),
        ("expiresAt", "0001-01-01", "expiresAt"),
        ("expiresAt", "9999-12-31T23:59:59-12:00", "expiresAt"),
        ("expiresAt", "9999-12-31T23:59:60Z", "expiresAt"),
        ("expiresAt", "99999-01-01", "expiresAt"),
    ],
)
def test_a_mistake_has_its_path(field: str, value: object, path: str) -> None:
    """NOW is 2027-01-15T08:00:00Z."""
    assert paths(**{field: value}) == [path]


def test_all_mistakes_are_reported() -> None:
    assert sorted(
        paths(
            addresses=["x", "10.0.0.1", "y"],
            models=["a", " b"],
            model="c",
            expiresAt="1999-01-01",
            userHeader="cookie",
        )
    ) == ["addresses[0]", "addresses[2]", "expiresAt", "model", "models[1]", "userHeader"]


@pytest.mark.parametrize(
    ("models", "model", "is_allowed"),
    [
        (["qwen/*"], "qwen/qwen3-8b", True),
        (["qwen/*"], "llama", False),
        (["*"], "anything", True),
        (["key/of/it"], "alias", True),
        (["alias"], "alias", False),
    ],
)
def test_the_default_model_is_one_of_the_models(models: list[str], model: str, is_allowed: bool) -> None:
    """Judged by the model's key, whatever name it is given."""

    def key_of(name: str) -> str:
        return "key/of/it" if name == "alias" else name

    with nullcontext() if is_allowed else pytest.raises(ValidationFailed, match="failed"):
        check_settings(settings(models=models, model=model), NOW, key_of)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2027-02-01", "2027-01-31T15:00:00.000Z"),
        ("2027-02-01T12:30", "2027-02-01T03:30:00.000Z"),
        ("2027-02-01T12:30:00Z", "2027-02-01T12:30:00.000Z"),
        ("2027-02-01T12:30:00+02:00", "2027-02-01T10:30:00.000Z"),
        ("2027-02-01 12:30:00.123Z", "2027-02-01T12:30:00.123Z"),
    ],
)
@pytest.mark.usefixtures("in_tokyo")
def test_a_date_begins_at_midnight_of_the_gateways_zone(text: str, shown: str) -> None:
    """What names its own zone is of that zone; it is shown in UTC."""
    checked = check_settings(settings(expiresAt=text), NOW)
    assert checked.settings.expires_at == shown
    assert checked.expires == parse_time(shown)


def test_a_time_that_is_shown_stays_what_it_is() -> None:
    """For every millisecond: a key that is sent back as it was read doesn't expire sooner each time."""
    for millisecond in range(1000):
        text = f"2027-02-01T12:30:00.{millisecond:03}Z"
        assert check_settings(settings(expiresAt=text), NOW).settings.expires_at == text


def test_a_time_that_has_passed_may_stay_but_not_be_set() -> None:
    """A key that has expired can be changed."""
    past, other = "2027-01-01T00:00:00.000Z", "2027-01-02T00:00:00.000Z"
    checked = check_settings(settings(expiresAt=past), NOW, before=settings(expiresAt=past))
    assert checked.expires == parse_time(past)
    with pytest.raises(ValidationFailed):
        check_settings(settings(expiresAt=other), NOW, before=settings(expiresAt=past))


def test_what_is_repeated_is_kept_once() -> None:
    """Networks also if they are written differently."""
    checked = check_settings(
        settings(
            scopes=["log", "inference", "log"],
            models=["b*", "a*", "b*"],
            addresses=["10.0.0.1", "::1", "10.0.0.1/32"],
        ),
        NOW,
    ).settings
    assert checked.scopes == ("log", "inference")
    assert checked.models == ("b*", "a*")
    assert checked.addresses == ("10.0.0.1", "::1")


@pytest.mark.parametrize("name", ["owner", "anyone", "self"])
def test_names_with_another_meaning_are_no_names_of_keys(name: str) -> None:
    assert [mistake["path"] for mistake in check_name(name)] == ["name"]


def test_other_names_are() -> None:
    assert [*check_name("owners"), *check_name("anna"), *check_name("self.")] == []
