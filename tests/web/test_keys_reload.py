"""Named keys, and a configuration that is read again."""

from __future__ import annotations

import gc
import weakref

import pytest

from lmgateway.web.state import RULES_IN_FORCE
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.keys import OWNER, call, make_key
from tests.support.reloading import reload
from tests.support.upstream import ScriptedUpstream

OTHER_OWNER = "another key of the house"


@pytest.fixture
async def gateway(start_gateway: StartGateway, upstream: ScriptedUpstream) -> Gateway:
    return await start_gateway(upstream.base_url, auth={"api_key": OWNER})


async def status(gateway: Gateway, key: str | None, path: str = "/v1/models") -> int:
    return (await call(gateway, "GET", path, key=key)).status


async def test_the_keys_stay_what_they_are(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """Those that were made work, and one that was revoked isn't back."""
    kept, revoked = await make_key(gateway, "kept"), await make_key(gateway, "revoked")
    await call(gateway, "DELETE", "/admin/keys/revoked")
    reload(gateway, lmstudio={"base_url": upstream.base_url}, auth={"api_key": OTHER_OWNER})
    keys = (kept, revoked, OWNER, OTHER_OWNER, None)
    assert [await status(gateway, key) for key in keys] == [200, 401, 401, 200, 401]


async def test_without_the_owner_the_gateway_stays_closed(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    """And the last admin key stays from then on."""
    boss = await make_key(gateway, "boss", scopes=["admin"])
    reload(gateway, lmstudio={"base_url": upstream.base_url})
    assert [await status(gateway, key) for key in (boss, OWNER, None)] == [200, 401, 401]
    assert (await call(gateway, "DELETE", "/admin/keys/boss", key=boss)).status == 409
    reload(gateway, lmstudio={"base_url": upstream.base_url}, auth={"api_key": OWNER})
    assert (await call(gateway, "DELETE", "/admin/keys/boss", key=boss)).status == 200


async def test_a_warning_says_that_no_key_can_change_the_keys(
    gateway: Gateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever removes auth.api_key would learn it only when a key must be revoked."""
    without_owner = {"lmstudio": {"base_url": upstream.base_url}}
    reload(gateway, **without_owner)  # there are no keys to change
    reload(gateway, auth={"api_key": OWNER}, **without_owner)
    await make_key(gateway, "anna")
    reload(gateway, auth={"api_key": OWNER}, **without_owner)
    assert "no key can change the keys" not in caplog.text
    reload(gateway, **without_owner)
    assert caplog.text.count("no key can change the keys") == 1
    caplog.clear()
    reload(gateway, auth={"api_key": OWNER}, **without_owner)
    await make_key(gateway, "boss", scopes=["admin"])
    reload(gateway, **without_owner)
    assert "no key can change the keys" not in caplog.text


async def test_a_new_owners_key_of_the_named_form(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """A named key that is set as auth.api_key has every right, and is still the owner's once revoked."""
    key = await make_key(gateway, "anna")
    assert await status(gateway, key, "/admin/keys") == 403
    reload(gateway, lmstudio={"base_url": upstream.base_url}, auth={"api_key": key})
    assert await status(gateway, key, "/admin/keys") == 200
    assert (await call(gateway, "DELETE", "/admin/keys/anna", key=key)).status == 200
    assert await status(gateway, key, "/admin/keys") == 200


async def test_the_changed_keys_are_those_of_the_new_configuration(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    """A change of a key after a reload brings no setting of before back."""
    await make_key(gateway, "anna", addresses=["127.0.0.1"])
    reload(
        gateway,
        lmstudio={"base_url": upstream.base_url},
        auth={"api_key": OTHER_OWNER, "require_for_health": True},
    )
    await call(gateway, "DELETE", "/admin/keys/anna", key=OTHER_OWNER)
    assert [await status(gateway, key, "/health") for key in (None, OWNER, OTHER_OWNER)] == [401, 401, 200]


async def test_the_keys_of_before_a_change_are_freed(gateway: Gateway) -> None:
    """With 5,000 keys each change would leave a megabyte until the garbage collector runs, which is rare."""
    rules = gateway.app[RULES_IN_FORCE]
    await make_key(gateway, "anna")
    gc.collect()
    gc.disable()
    try:
        replaced = []
        for number in range(3):
            replaced.append(weakref.ref(rules.current))
            await make_key(gateway, f"another-{number}")
        await status(gateway, OWNER)  # the server keeps its last request
        assert [one() for one in replaced] == [None] * 3
    finally:
        gc.enable()
