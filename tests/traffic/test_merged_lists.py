"""The union of several LM Studios' lists of models."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmgateway.traffic.model_lists import LISTS, merged
from tests.support.properties import checked

OPENAI, OLDER, NATIVE = "/v1/models", "/api/v0/models", "/api/v1/models"


def native(*entries: bytes) -> bytes:
    return b'{"models":[%s]}' % b",".join(entries)


def data(*entries: bytes) -> bytes:
    return b'{"data":[%s],"object":"list"}' % b",".join(entries)


# ── Which entry is taken ───────────────────────────────────────────────────────────────────────────────────


def test_openais_list_has_each_id_once() -> None:
    """The first list's entry, in the order of the lists, byte for byte."""
    first = data(b'{"id":"b", "created":1.0}', b'{"id":"a"}')
    second = data(b'{"id":"c","n":12345678901234567890}', b'{"id":"b","created":2}')
    assert merged(OPENAI, [first, second]) == data(
        b'{"id":"b", "created":1.0}', b'{"id":"a"}', b'{"id":"c","n":12345678901234567890}'
    )


@pytest.mark.parametrize(
    ("states", "taken"),
    [
        (("not-loaded", "loaded", "loaded"), 1),
        (("loaded", "not-loaded", "loaded"), 0),
        (("not-loaded", "not-loaded", "not-loaded"), 0),
        ((None, "not-loaded", "loaded"), 2),
        ((7, "not-loaded", "Loaded"), 0),
    ],
)
def test_an_entry_in_memory_comes_before_one_that_is_not(states: tuple[object, ...], taken: int) -> None:
    """At the place of the first one."""
    entries = [json.dumps({"id": "a", "state": state, "n": n}).encode() for n, state in enumerate(states)]
    lists = [data(entry, b'{"id":"z"}') for entry in entries]
    assert merged(OLDER, lists) == data(entries[taken], b'{"id":"z"}')


def test_the_state_counts_only_where_lm_studio_has_one() -> None:
    lists = [data(b'{"id":"a","state":"not-loaded"}'), data(b'{"id":"a","state":"loaded"}')]
    assert merged(OPENAI, lists) == lists[0]


# ── Instances ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_model_has_the_instances_of_all_lists() -> None:
    """Each identifier once, the first list's. The other members are the first list's, byte for byte."""
    first = native(b'{"key":"a", "size_bytes":1.50,"loaded_instances":[ {"id":"x", "n":1} ],"z":null}')
    second = native(b'{"key":"a","size_bytes":2,"loaded_instances":[{"id":"x","n":2},{"id":"y","n":2}]}')
    third = native(b'{"key":"a","loaded_instances":[{"id":"y","n":3},{"id":"w"}]}', b'{"key":"b"}')
    assert merged(NATIVE, [first, second, third]) == native(
        b'{"key":"a","size_bytes":1.50,"loaded_instances":'
        b'[{"id":"x", "n":1},{"id":"y","n":2},{"id":"w"}],"z":null}',
        b'{"key":"b"}',
    )


@pytest.mark.parametrize("none", [b"", b',"loaded_instances":[]', b',"loaded_instances":null'])
def test_a_model_that_is_only_elsewhere_in_memory_has_those_instances(none: bytes) -> None:
    """Whatever the first list has in place of an empty one."""
    lists = [native(b'{"key":"a"%s}' % none), native(b'{"key":"a","loaded_instances":[{"id":"x"}]}')]
    assert merged(NATIVE, lists) == lists[1]


def test_an_entry_without_other_instances_stays_as_it_is() -> None:
    entry = b'{"key" : "a", "loaded_instances" : [ {"id" : "x"} ] }'
    assert merged(NATIVE, [native(entry), native(b'{"key":"a","loaded_instances":[]}')]) == native(entry)


def test_instances_of_an_odd_form_are_passed_on() -> None:
    """There is no identifier by which two could be the same."""
    lists = [native(b'{"key":"a","loaded_instances":[7]}'), native(b'{"key":"a","loaded_instances":[7,{}]}')]
    assert merged(NATIVE, lists) == native(b'{"key":"a","loaded_instances":[7,7,{}]}')


# ── The whole ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_other_members_are_the_first_lists() -> None:
    lists = [b'{"x":1.0,"models":[{"key":"a"}],"y":{}}', b'{"models":[{"key":"b"}],"z":2}']
    assert merged(NATIVE, lists) == b'{"x":1.0,"models":[{"key":"a"},{"key":"b"}],"y":{}}'


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "odd",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b'{"error":"Unexpected endpoint or method."}',
        b'{"data":{},"models":null}',
        b'{"data":[{"id":"\xff"}],"models":[{"key":"\xff"}]}',
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_no_list_is_left_out(path: str, odd: bytes) -> None:
    """None is left if there is nothing else."""
    member, name = LISTS[path]
    good = b'{"%s":[{"%s":"a"}]}' % (member.encode(), name.encode())
    assert merged(path, [odd, good, odd]) == good
    assert (merged(path, [odd, odd]), merged(path, [])) == (None, None)


def test_empty_lists_are_lists() -> None:
    """A machine without models has none; that is no error."""
    assert merged(OPENAI, [data(), data()]) == data()


@pytest.mark.parametrize("odd", [b"7", b"null", b"{}", b'{"id":7}', b'{"key":"x"}'])
def test_an_entry_without_a_name_is_left_out(odd: bytes) -> None:
    assert merged(OPENAI, [data(odd, b'{"id":"a"}'), data(odd)]) == data(b'{"id":"a"}')


def test_lone_surrogates_stay_and_are_compared() -> None:
    """LM Studio sends what a model's name has. The same half is the same name in each list."""
    first, second = (
        data(b'{"id":"\\ud83d","x":"\\uDE00\\\\"}', b'{"id":"a\\ue000"}'),
        data(b'{"id":"\\ud83d","y":1}', b'{"id":"\\ud83e","\\ud83d":2}', b'{"id":"a"}'),
    )
    assert merged(OPENAI, [first, b"\\", second]) == data(
        b'{"id":"\\ud83d","x":"\\uDE00\\\\"}',
        b'{"id":"a\\ue000"}',
        b'{"id":"\\ud83e","\\ud83d":2}',
        b'{"id":"a"}',
    )


def test_a_list_that_would_be_costly_to_mask_is_left_out() -> None:
    """A lone surrogate in a megabyte of lists. Those without one are merged."""
    long = data(b'{"id":"%s"}' % (b"x" * 1024**2))
    assert merged(OPENAI, [data(b'{"id":"\\ud83d"}'), long]) == long


# ── Properties ─────────────────────────────────────────────────────────────────────────────────────────────

names = st.sampled_from(["a", "b", "c", "d\U0001f600", 'e"', ""])
instances = st.lists(st.fixed_dictionaries({"id": names, "config": st.just({"parallel": 4})}), max_size=3)
entries = {
    OPENAI: st.fixed_dictionaries({"id": names, "object": st.just("model")}),
    OLDER: st.fixed_dictionaries({"id": names, "state": st.sampled_from(["loaded", "not-loaded"])}),
    NATIVE: st.fixed_dictionaries({"key": names, "size_bytes": st.integers(), "loaded_instances": instances}),
}


@st.composite
def several(draw: st.DrawFn) -> tuple[str, list[list[dict[str, Any]]]]:
    path = draw(st.sampled_from(sorted(LISTS)))
    name = LISTS[path][1]
    one = st.lists(entries[path], max_size=5, unique_by=lambda entry: entry[name])
    return path, draw(st.lists(one, min_size=1, max_size=4))


@checked
@given(several())
def test_the_union_has_every_model_once(drawn: tuple[str, list[list[dict[str, Any]]]]) -> None:
    """In the order of the lists, and with every instance and every state that is told by any list."""
    path, lists = drawn
    member, name = LISTS[path]
    bodies = [json.dumps({member: one, "object": "list"}).encode() for one in lists]
    result = merged(path, bodies)
    assert result is not None
    union = json.loads(result)
    all_entries = [entry for one in lists for entry in one]
    assert [entry[name] for entry in union[member]] == list(dict.fromkeys(e[name] for e in all_entries))
    assert union["object"] == "list"
    for entry in union[member]:
        same = [other for other in all_entries if other[name] == entry[name]]
        if path == NATIVE:
            loaded = {one["id"] for other in same for one in other["loaded_instances"]}
            assert {one["id"] for one in entry["loaded_instances"]} == loaded
            assert entry["size_bytes"] == same[0]["size_bytes"]
        elif path == OLDER:
            assert entry["state"] == min(other["state"] for other in same)  # "loaded" sorts first
        else:
            assert entry in same
    assert merged(path, [result, *bodies]) == result
