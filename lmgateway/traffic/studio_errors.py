"""Recognises LM Studio's errors by their sentences. Pure functions.

LM Studio has no error codes for these, reports some of them with status 200, and uses another shape on each
path: `{"error": "…"}`, `{"error": {"message": "…"}}`, or a failed response in an event. The sentences are
those of the reports in its bug tracker, from 0.3 to 0.4.25. Only the sentence of an error counts, never the
text of an answer.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw, Struct

from ..errors import ContextLengthExceeded, StudioRefused
from ..untrusted import count, decoded

# N are the context's tokens, M the prompt's.
_SENTENCES = (
    (
        r"Input does not fit in context length\. "
        r"The input has M tokens, but the context length only supports N "
    ),
    (
        r"The number of tokens to keep from the initial prompt is greater than the context length "
        r"\(n_keep: ?M ?>= ?n_ctx: ?N\)"
    ),
    (
        r"Trying to keep the first M tokens when context the overflows\. "
        r"However, the model is loaded with context length of only N tokens"
    ),
    (
        r"Reached context length of N tokens with model \(arch: [^)]{1,100}\) "
        r"that does not currently support mid-generation context overflow"
    ),
    r"Context size has been exceeded\.?\Z",
)
_OVERFLOWS = [
    re.compile(re.sub(r"\b[MN]\b", lambda name: rf"(?P<{name[0]}>\d{{1,18}})", sentence))
    for sentence in _SENTENCES
]
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_UNEXPECTED = re.compile(r"Unexpected endpoint or method\. \(.*\)\Z", re.DOTALL)


class Overflow(Struct, frozen=True):
    """A prompt that is too long for the model's context; in tokens, None where LM Studio doesn't say."""

    prompt: int | None = None
    context: int | None = None


class StreamOverflowed(Exception):
    """An event of a stream reports an overflow. `passed` are the bytes before it that aren't relayed yet.

    `is_cut`: the beginning of the event itself was relayed already.
    """

    def __init__(self, overflow: Overflow) -> None:
        super().__init__("context overflow")
        self.overflow = overflow
        self.passed = b""
        self.is_cut = False


class _Reason(Struct):
    message: str


class _Names(Struct):
    type: object = None
    code: object = None


class _Failed(Struct):
    error: Raw = Raw(b"null")


class _Event(Struct):
    """A body or an event's data. /v1/responses may have the error inside a failed response."""

    error: Raw = Raw(b"null")
    response: Raw = Raw(b"null")


def sentence_of(payload: bytes | Raw) -> str | None:
    """Return the sentence of an error body, or of the data of an error event; None if it has none."""
    event = decoded(payload, _Event)
    if event is None:
        return None
    if bytes(event.error) == b"null" and (failed := decoded(event.response, _Failed)) is not None:
        return _text(failed.error)
    return _text(event.error)


def _text(error: Raw) -> str | None:
    reason = decoded(error, _Reason)
    return decoded(error, str) if reason is None else reason.message


def overflow_of(sentence: str | None) -> Overflow | None:
    """Return what the sentence says about a context overflow, None if it is about anything else."""
    for pattern in _OVERFLOWS:
        if sentence is not None and (match := pattern.match(sentence)) is not None:
            numbers = match.groupdict()
            return Overflow(*(count(int(numbers.get(name) or -1)) for name in "MN"))
    return None


def check_overflow(data: bytes) -> None:
    """Raise StreamOverflowed if the data of an error event reports a context overflow."""
    if (overflow := overflow_of(sentence_of(data))) is not None:
        raise StreamOverflowed(overflow)


def is_unexpected_endpoint(sentence: str | None) -> bool:
    """True for LM Studio's answer to a path or method that it doesn't have. Its status is 200."""
    return sentence is not None and _UNEXPECTED.match(sentence) is not None


def is_unknown_model(sentence: str | None, name: str | None) -> bool:
    """True if the sentence says that LM Studio has no model or instance of this name."""
    if sentence is None or name is None:
        return False
    return sentence.startswith((f'Invalid model identifier "{name}"', f'Model "{name}" not found'))


def unexpected_lengths(method: str, target: str) -> frozenset[int]:
    """Return the lengths that the body of that answer may have, compact and pretty-printed.

    They are all that LM Studio's answer to a HEAD request shows of it.
    """
    error = {"error": f"Unexpected endpoint or method. ({method} {target})"}
    compact = msgspec.json.encode(error)
    return frozenset({len(compact), len(msgspec.json.format(compact, indent=2))})


def context_length_exceeded(path: str, overflow: Overflow) -> ContextLengthExceeded:
    """Return the error in the words that the path's clients know, with the numbers that LM Studio told."""
    prompt, context = overflow.prompt, overflow.context
    if path.startswith("/v1/messages"):
        numbers = "" if None in (prompt, context) else f": {prompt} tokens > {context} maximum"
        return ContextLengthExceeded(f"prompt is too long{numbers}")
    if context is None:
        return ContextLengthExceeded("This model's maximum context length is exceeded.")
    message = f"This model's maximum context length is {context} tokens."
    if prompt is not None:
        message += f" However, your messages resulted in {prompt} tokens."
    return ContextLengthExceeded(message)


def studio_refused(status: int, body: bytes) -> StudioRefused:
    """Return LM Studio's error response as an error of the gateway's, with its own words and names."""
    event = decoded(body, _Event) or _Event()
    names = decoded(event.error, _Names) or _Names()
    message = sentence_of(body) or f"LM Studio answered with status {status}."
    usual = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    kind, code = _name(names.type, usual), _name(names.code, StudioRefused.code)
    return StudioRefused(message, status=status, type=kind, code=code)


def _name(value: object, default: str) -> str:
    return value if isinstance(value, str) and _NAME.match(value) else default
