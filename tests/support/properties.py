"""How properties are checked: the same examples each time, and no files left behind."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

# For its tables of Unicode, which it stores even without a database.
set_hypothesis_home_dir(Path(tempfile.gettempdir(), "lmgateway-hypothesis"))

checked = settings(max_examples=100, deadline=None, derandomize=True, database=None)
often = settings(checked, max_examples=500)

odd_numbers = st.integers() | st.floats() | st.integers(0, 500).map(lambda digits: 10**digits)
# Hypothesis' own texts have no surrogates.
odd_texts = st.text(st.characters() | st.characters(categories=["Cs"]))
odd_json = st.recursive(
    st.none() | st.booleans() | odd_numbers | odd_texts,
    lambda inner: st.lists(inner) | st.dictionaries(odd_texts, inner),
)


@st.composite
def pieces_of(draw: st.DrawFn, whole: bytes) -> list[bytes]:
    """The same bytes, cut anywhere."""
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    return [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
