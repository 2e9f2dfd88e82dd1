"""What the lists that LM Studio sends over HTTP say of its models."""

from __future__ import annotations

import json

import pytest

from lmgateway.boxes.listing import (
    InstanceDetails,
    KnownModel,
    Listing,
    parse_native,
    parse_older,
)

GOOD = b'{"id":"a","object":"model"},{"id":"b"}'
LLM, EMBEDDING = KnownModel("pub/llm", "llm"), KnownModel("pub/embed", "embedding")
NATIVE = {
    "models": [
        {
            "type": "llm",
            "key": "pub/llm",
            "variants": ["pub/llm@q4_k_m", "q8_0"],
            "selected_variant": "pub/llm@mxfp4",
            "loaded_instances": [{"id": "fast", "config": {"context_length": 4096}}, {"id": "pub/embed"}],
        },
        {"type": "embedding", "key": "pub/embed", "loaded_instances": []},
    ]
}


@pytest.mark.parametrize(
    "entry",
    [
        b"7",
        b"null",
        b"{}",
        b'{"id":7}',
        b'{"id":"\\ud83d"}',
        b'{"id":"\xff"}',
        b'{"id":null,"x":1e999}',
        b'{"\\uDE00":7}',
    ],
)
def test_an_odd_entry_spoils_no_list(entry: bytes) -> None:
    """The names beside it are known."""
    older = parse_older(b'{"data":[%s,%s]}' % (entry, GOOD))
    assert older is not None
    assert older.models.keys() >= {"a", "b"}
    listing = parse_native(b'{"models":[%s,{"key":"a"}]}' % entry.replace(b'"id"', b'"key"'))
    assert listing is not None
    assert listing.find("a") == KnownModel("a")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"data":{}}', b"[" * 3000, b'{"error":"no"}'])
def test_anything_else_is_no_list(body: bytes) -> None:
    """Such as the sentence that LM Studio sends for a path that it doesn't have."""
    assert (parse_native(body), parse_older(body)) == (None, None)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("pub/llm", LLM),
        ("pub/llm@q4_k_m", LLM),
        ("pub/llm@q8_0", LLM),
        ("pub/llm@mxfp4", LLM),
        ("fast", LLM),
        ("pub/embed", LLM),  # the identifier of an instance comes before a key
        ("pub/llm@other", None),
        ("q8_0", None),
        ("PUB/LLM", None),
        ("pub/llm ", None),
        ("", None),
    ],
)
def test_a_name_is_an_identifier_else_a_key_or_a_variant(name: str, model: KnownModel | None) -> None:
    """And nothing else that looks like one."""
    listing = parse_native(json.dumps(NATIVE).encode())
    assert listing is not None
    assert listing.find(name) == model


@pytest.mark.parametrize("odd", [7, {"a": 1}, [7, None], "text", None])
def test_odd_members_of_an_entry_hide_no_model(odd: object) -> None:
    """A model whose variants aren't a list has none."""
    entry = {"key": "a", "type": odd, "variants": odd, "selected_variant": 7, "loaded_instances": odd}
    listing = parse_native(json.dumps({"models": [entry]}).encode())
    assert listing == Listing(models={"a": KnownModel("a")})


def test_the_older_list_names_types_and_instances() -> None:
    """LM Studio before 0.4 lists an instance of another name beside the models."""
    entries = [
        {"id": "a", "type": "vlm", "state": "not-loaded"},
        {"id": "mine", "type": "llm", "state": "loaded", "loaded_context_length": 4096},
        {"id": "e", "type": "embeddings"},
    ]
    listing = parse_older(json.dumps({"data": entries}).encode())
    assert listing is not None
    assert listing.models == {
        "a": KnownModel("a", "llm"),
        "mine": KnownModel("mine", "llm"),
        "e": KnownModel("e", "embedding"),
    }
    assert listing.instances == {"mine": KnownModel("mine", "llm")}

    assert listing.details == {"mine": InstanceDetails(context=4096)}


@pytest.mark.parametrize(
    ("config", "details"),
    [
        ({"context_length": 8192, "parallel": 4, "flash_attention": True}, InstanceDetails(4, 8192)),
        ({"context_length": 2048}, InstanceDetails(None, 2048)),  # an embedding model
        ({"context_length": 1, "parallel": 1}, InstanceDetails(1, 1)),
        ({"context_length": 10**9, "parallel": 10**4}, InstanceDetails(10**4, 10**9)),
        ({"context_length": 0, "parallel": 2}, InstanceDetails(2, None)),
        ({"context_length": 10**30, "parallel": -1}, None),
        ({"context_length": "8192", "parallel": 10**4 + 1}, None),
        ({"context_length": [1], "parallel": True}, None),
        (7, None),
        ([4, 8192], None),
        (None, None),
    ],
)
def test_an_instance_has_slots_and_a_context(config: object, details: InstanceDetails | None) -> None:
    """A number that no machine has is unknown, and doesn't hide the other one."""
    entry = {"key": "a", "loaded_instances": [{"id": "fast", "config": config}, {"id": "bare"}]}
    listing = parse_native(json.dumps({"models": [entry]}).encode())
    assert listing is not None
    assert listing.instances.keys() == {"fast", "bare"}
    assert listing.details == ({} if details is None else {"fast": details})


@pytest.mark.parametrize(
    ("on_demand", "model", "answers"),
    [
        (frozenset({"pub/embed"}), EMBEDDING, True),
        (frozenset(), EMBEDDING, False),
        (frozenset(), LLM, True),  # it is in memory
    ],
)
def test_a_model_answers_if_it_is_in_memory_or_loaded_on_demand(
    on_demand: frozenset[str], model: KnownModel, answers: bool
) -> None:
    """Otherwise LM Studio may answer with any other model."""
    listing = Listing(instances={"fast": LLM}, on_demand=on_demand)
    assert listing.answers(model) is answers
