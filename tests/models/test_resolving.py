"""What a name refers to: LM Studio's names before aliases, exact aliases before globs."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmgateway.access.globs import Globs
from lmgateway.boxes.listing import KnownModel, Listing
from lmgateway.config import ModelProfile
from lmgateway.models.aliases import Aliases
from lmgateway.models.names import known_model, resolve, resolve_loadable
from lmgateway.schema.models import ActiveModel
from tests.support.properties import checked

A, B = KnownModel("pub/a", "llm"), KnownModel("pub/b", "embedding")
LISTING = Listing(
    instances={"a:2": A, "pub/b": A, "instance": B},
    models={"pub/a": A, "pub/b": B, "pub/a@q4": A, "files/a.gguf": A},
)
ALIASES = Aliases(
    {
        "pub/a": ModelProfile(aliases=("gpt-4", "gpt-*", "instance", "pub/b")),
        "pub/b": ModelProfile(aliases=("gpt-4*", "?", "gpt-4o-????", "[x]")),
        "gone": ModelProfile(aliases=("old",)),
    }
)


@pytest.mark.parametrize(
    ("name", "sent", "model", "instance"),
    [
        ("pub/a", "pub/a", A, None),
        ("a:2", "a:2", A, "a:2"),
        ("pub/a@q4", "pub/a@q4", A, None),
        ("files/a.gguf", "files/a.gguf", A, None),
        # An identifier comes before a key, and both before an alias.
        ("pub/b", "pub/b", A, "pub/b"),
        ("instance", "instance", B, "instance"),
        # An exact alias comes before globs, and of those the longest counts.
        ("gpt-4", "pub/a", A, None),
        ("gpt-3", "pub/a", A, None),
        ("gpt-", "pub/a", A, None),
        # The key of an alias may be the identifier of another model's instance.
        ("gpt-4o", "pub/b", A, "pub/b"),
        ("gpt-4o-mini", "pub/b", A, "pub/b"),
        ("x", "pub/b", A, "pub/b"),
        ("[x]", "pub/b", A, "pub/b"),
    ],
)
def test_a_name_is_resolved(name: str, sent: str, model: KnownModel, instance: str | None) -> None:
    assert resolve(name, LISTING, ALIASES) == (sent, model, instance)


@pytest.mark.parametrize("name", ["", "xy", "GPT-4", "pub/c", "old", "gone", "gpt", " gpt-4", "pub/a@q8"])
def test_other_names_are_unknown(name: str) -> None:
    """An alias of a model that LM Studio doesn't have too."""
    assert resolve(name, LISTING, ALIASES) is None


@pytest.mark.parametrize(
    ("name", "is_active", "found"),
    [
        # The active model's own instance, which isn't loaded, is loaded again under its name.
        ("mine", False, ("mine", B, "mine")),
        ("mine", True, ("mine", B, "mine")),
        ("pub/a", False, ("pub/a", A, None)),
        ("gpt-4", False, ("pub/a", A, None)),
        ("other", False, None),
    ],
)
def test_a_gone_instance_of_the_active_model_keeps_its_name(
    name: str, is_active: bool, found: tuple[str, KnownModel, str | None] | None
) -> None:
    active = ActiveModel(model_key="pub/b", instance_id="mine")
    assert resolve_loadable(name, LISTING, ALIASES, active, is_active=is_active) == found
    assert resolve_loadable("mine", LISTING, ALIASES, None) is None


@pytest.mark.parametrize(
    ("identifier", "is_active", "found"),
    [
        # A model of this name comes before the gone instance, but not for a request without a model.
        ("pub/a", False, ("pub/a", A, None)),
        ("pub/a", True, ("pub/a", B, "pub/a")),
        # An alias of this name comes after it.
        ("gpt-4", False, ("gpt-4", B, "gpt-4")),
        # This one is loaded, whatever its model is by now.
        ("a:2", False, ("a:2", A, "a:2")),
        ("a:2", True, ("a:2", A, "a:2")),
    ],
)
def test_the_name_of_the_active_instance_may_be_another_models(
    identifier: str, is_active: bool, found: tuple[str, KnownModel, str | None]
) -> None:
    active = ActiveModel(model_key="pub/b", instance_id=identifier)
    assert resolve_loadable(identifier, LISTING, ALIASES, active, is_active=is_active) == found


def test_an_active_model_that_is_nowhere_has_no_instance() -> None:
    active = ActiveModel(model_key="gone", instance_id="mine")
    assert resolve_loadable("mine", LISTING, ALIASES, active, is_active=True) is None


def test_globs_of_the_same_length_have_a_fixed_order() -> None:
    """A restart changes nothing."""
    one, other = ModelProfile(aliases=("a*",)), ModelProfile(aliases=("*b",))
    assert Aliases({"1": one, "2": other}).match("ab") == Aliases({"2": other, "1": one}).match("ab") == "2"


def test_a_long_glob_takes_no_exponential_time() -> None:
    """Clients choose the name that it is compared with."""
    aliases = Aliases({"m": ModelProfile(aliases=("*a" * 90 + "b",))})
    assert aliases.match("a" * 5000) is None


names = st.text(alphabet="ab*?/[].", min_size=1, max_size=6)
plain_names = st.text(alphabet="ab/[].", min_size=1, max_size=6)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Listing, Aliases]:
    keys = draw(st.lists(plain_names, min_size=1, max_size=4, unique=True))
    models = {key: KnownModel(key) for key in keys}
    of_a_model = st.sampled_from(list(models.values()))
    instances = draw(st.dictionaries(plain_names, of_a_model, max_size=4))
    others = draw(st.dictionaries(plain_names, of_a_model, max_size=4))
    tables = draw(st.dictionaries(st.sampled_from(keys) | plain_names, st.lists(names, max_size=3)))
    aliases = Aliases({key: ModelProfile(aliases=tuple(some)) for key, some in tables.items()})
    return Listing(instances, {**others, **models}), aliases


def answering(name: str, listing: Listing) -> str | None:
    """The key of the model that LM Studio answers with: an instance's by identifier, else the named one."""
    model = listing.instances.get(name) or listing.models.get(name)
    return None if model is None else model.key


@checked
@given(situations(), names, st.lists(names, min_size=1, max_size=3))
def test_no_name_gets_around_the_globs(
    situation: tuple[Listing, Aliases], name: str, patterns: list[str]
) -> None:
    """What is allowed by the resolved key is what LM Studio answers with."""
    listing, aliases = situation
    globs = Globs(tuple(patterns))
    found = resolve(name, listing, aliases)
    if found is not None and globs.allow(found.model.key):
        answered = answering(found.name, listing)
        assert answered == found.model.key
        assert any(fnmatchcase(answered, pattern.replace("[", "[[]")) for pattern in patterns)
        assert found.name in {name, aliases.match(name)}


@checked
@given(situations(), names)
def test_an_alias_never_hides_a_name_of_lm_studios(situation: tuple[Listing, Aliases], name: str) -> None:
    listing, aliases = situation
    if listing.find(name) is not None:
        assert resolve(name, listing, aliases) == (name, listing.find(name))
    assert known_model(name, listing.find, aliases).key in {
        name,
        *[model.key for model in (*listing.models.values(), *listing.instances.values())],
        aliases.match(name),
    }


@checked
@given(st.lists(names, max_size=4), names)
def test_the_best_alias_counts(patterns: list[str], name: str) -> None:
    """An exact one, else the longest that matches."""
    aliases = Aliases({f"model of {pattern}": ModelProfile(aliases=(pattern,)) for pattern in patterns})
    exact = [pattern for pattern in patterns if pattern == name and not set("*?") & set(pattern)]
    globs = [pattern for pattern in patterns if set("*?") & set(pattern)]
    matching = [glob for glob in globs if fnmatchcase(name, glob.replace("[", "[[]"))]
    match = aliases.match(name)
    if exact:
        assert match == f"model of {name}"
    elif matching:
        longest = max(map(len, matching))
        assert match in {f"model of {glob}" for glob in matching if len(glob) == longest}
    else:
        assert match is None
