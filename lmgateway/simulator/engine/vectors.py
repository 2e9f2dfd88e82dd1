"""Embedding vectors: of unit length, and deterministic."""

import hashlib
import math
from array import array
from collections.abc import Sequence

DIMENSIONS = 768


def embed(text: str) -> Sequence[float]:
    """Encode as single-precision floats, for `encoding_format: base64`."""
    digest = hashlib.shake_256(text.encode(errors="replace")).digest(DIMENSIONS)
    centred = [byte - 127.5 for byte in digest]
    length = math.hypot(*centred)
    return array("f", [value / length for value in centred])
