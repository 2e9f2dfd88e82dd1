"""Named keys over HTTP, made and changed as the gateway's owner does."""

from __future__ import annotations

from typing import Any, NamedTuple

from multidict import CIMultiDictProxy

from tests.support.gateway import Gateway

OWNER = "the key of the house"


class Reply(NamedTuple):
    status: int
    body: Any
    headers: CIMultiDictProxy[str]

    @property
    def paths(self) -> list[str]:
        """The paths of the mistakes in a refused body."""
        return [mistake["path"] for mistake in self.body["details"]]


def bearer(key: str) -> dict[str, str]:
    """Return the header field that sends this key."""
    return {"Authorization": f"Bearer {key}"}


async def call(
    gateway: Gateway,
    method: str,
    path: str,
    body: object = None,
    *,
    key: str | None = OWNER,
    **fields: str,
) -> Reply:
    """Make a request with this key, if any, and header fields such as `x_forwarded_for`."""
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    if key is not None:
        headers |= bearer(key)
    json = {} if body is None else {"json": body}
    async with gateway.client.request(method, gateway.url(path), headers=headers, **json) as response:
        is_json = response.content_type == "application/json" and method != "HEAD"
        return Reply(
            response.status, await response.json() if is_json else await response.text(), response.headers
        )


async def make_key(
    gateway: Gateway, name: str = "alice", *, by: str | None = OWNER, **settings: object
) -> str:
    """Make a key with these settings, in the names of JSON, and return it."""
    made = await call(gateway, "POST", "/admin/keys", {"name": name, **settings}, key=by)
    assert made.status == 201, made.body
    return str(made.body["key"])


async def change_key(gateway: Gateway, name: str = "alice", **settings: object) -> None:
    changed = await call(gateway, "PATCH", f"/admin/keys/{name}", settings)
    assert changed.status == 200, changed.body


async def revoke_key(gateway: Gateway, name: str = "alice", *, by: str = OWNER) -> None:
    revoked = await call(gateway, "DELETE", f"/admin/keys/{name}", key=by)
    assert revoked.status == 200, revoked.body
