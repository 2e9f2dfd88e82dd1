"""Embedding vectors: of unit length, and the same for the same text."""

import hashlib
import math
from array import array
from collections.abc import Sequence

DIMENSIONS = 768


def embed(text: str) -> Sequence[float]:
    """Single-precision floats, as `encoding_format: base64` wants them."""
    digest = hashlib.shake_256(text.encode(errors="replace")).digest(DIMENSIONS)
    centred = [byte - 127.5 for byte in digest]
    length = math.hypot(*centred)
    return array("f", [value / length for value in centred])
