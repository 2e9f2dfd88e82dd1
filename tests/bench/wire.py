"""What goes over the wire: the requests, and the tokens that say when they were sent."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass

PATH = "/v1/chat/completions"
# A prompt that the fake LM Studio obeys, whatever a gateway did to the body around it.
SAY = re.compile(rb"Say (\d+) tokens at (\d+) a second")
# A token's text is the monotonic time in nanoseconds at which it was sent: one clock for all processes.
TOKEN = re.compile(rb"t=(\d{18});")
TOKEN_BYTES = 21
STREAM_END = b"data: [DONE]"
BODY_END = b"0\r\n\r\n"

_CHUNK = (
    'data: {"id":"chatcmpl-k3v8e0p5o7q1w2n4c6","object":"chat.completion.chunk","created":1767222813,'
    '"model":"qwen2.5-7b-instruct","system_fingerprint":"qwen2.5-7b-instruct",'
    '"choices":[{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}]}\n\n'
)


def chunked(data: bytes) -> bytes:
    """Return it as one chunk of a body (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


_BEFORE, _AFTER = chunked((_CHUNK % ('{"content":"t=%s;"}' % ("0" * 18), "null")).encode()).split(b"0" * 18)
FINISH = chunked((_CHUNK % ("{}", '"stop"')).encode())
USAGE = chunked(
    b'data: {"id":"chatcmpl-k3v8e0p5o7q1w2n4c6","object":"chat.completion.chunk","created":1767222813,'
    b'"model":"qwen2.5-7b-instruct","choices":[],'
    b'"usage":{"prompt_tokens":24,"completion_tokens":50,"total_tokens":74}}\n\n'
)


def token() -> bytes:
    """Return a token as LM Studio sends it, a chunk of its own, with the time that it is now."""
    return b"%b%018d%b" % (_BEFORE, time.monotonic_ns(), _AFTER)


def chat(*, tokens: int = 0, rate: int = 0, model: str | None = None, size: int = 0) -> bytes:
    """Return a body: for a stream of so many tokens at so many a second, else for a plain answer.

    `size` is how many bytes of prompt to add.
    """
    prompt = f"Say {tokens} tokens at {rate} a second" if tokens else "Why is the sky blue? Answer briefly."
    body: dict[str, object] = {} if model is None else {"model": model}
    system = "You are a helpful assistant who answers in whole sentences, and briefly." + "x" * size
    body["messages"] = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
    if tokens:
        body["stream"] = True
    return json.dumps(body).encode()


@dataclass(frozen=True)
class Door:
    """Where a target is to be asked, and how: `key` opens it, `model` is named to it if it needs that."""

    port: int
    key: str | None = None
    model: str | None = None

    def post(self, body: bytes, path: str = PATH) -> bytes:
        """Return a whole request."""
        return self._head("POST", path, f"Content-Length: {len(body)}\r\n") + body

    def get(self, path: str) -> bytes:
        return self._head("GET", path)

    def _head(self, method: str, path: str, more: str = "") -> bytes:
        fields = "".join(f"{name}: {value}\r\n" for name, value in self.fields.items())
        return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{fields}{more}\r\n".encode()

    @property
    def fields(self) -> dict[str, str]:
        """The header fields that a client of OpenAI's sends."""
        fields = {"Content-Type": "application/json", "Accept": "*/*", "User-Agent": "bench"}
        return fields if self.key is None else {**fields, "Authorization": f"Bearer {self.key}"}
