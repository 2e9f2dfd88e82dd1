"""The operations of /admin/keys."""

from __future__ import annotations

from ...errors import Conflict, KeyNotFound, StateNotSaved
from .. import keys
from . import key_examples as examples
from .error_kinds import OF_JSON_BODIES
from .operation import Operation, Parameter, answer, json_of

TAG = "Keys"

_NAME = Parameter(name="name", place="path", description="The key's name.", example=examples.NAME)

KEY_OPERATIONS = (
    Operation(
        "GET",
        "/admin/keys",
        keys.list_keys,
        scope="admin",
        tag=TAG,
        summary="List the named keys",
        answers={200: answer("All keys, without their secrets.", examples.KEYS)},
    ),
    Operation(
        "POST",
        "/admin/keys",
        keys.make,
        scope="admin",
        tag=TAG,
        summary="Make a named key",
        description=(
            "While the gateway has no key at all, the first one can be made without a key, from the "
            "gateway's own machine. It must have the scope `admin`. From then on every request needs a key."
        ),
        body=json_of(examples.NEW),
        answers={201: answer("The key. `key` is the secret, which is shown only now.", examples.MADE)},
        raises=(*OF_JSON_BODIES, Conflict, StateNotSaved),
    ),
    # Before {name}: the router takes the first path that fits.
    Operation(
        "GET",
        "/admin/keys/self",
        keys.show_own,
        scope="any",
        tag=TAG,
        summary="See your own key",
        description=(
            "Works with every key. `used` is what counts against the limits of a minute, and the tokens of "
            "today; `left` is what remains of each limit."
        ),
        answers={200: answer("The caller's key, what it has used, and what is left.", examples.OWN)},
    ),
    Operation(
        "GET",
        "/admin/keys/{name}",
        keys.show,
        scope="admin",
        tag=TAG,
        summary="Get a named key",
        parameters=(_NAME,),
        answers={200: answer("The key, without its secret.", examples.KEY)},
        raises=(KeyNotFound,),
    ),
    Operation(
        "PATCH",
        "/admin/keys/{name}",
        keys.change,
        scope="admin",
        tag=TAG,
        summary="Change a named key",
        description=(
            "Send only the fields that change: the others stay, and `null` sets a field back to its default "
            "(a merge patch, RFC 7396). The change applies to the next request."
        ),
        parameters=(_NAME,),
        body=json_of(examples.PATCH),
        answers={200: answer("The key after the change.", examples.KEY)},
        raises=(*OF_JSON_BODIES, KeyNotFound, Conflict, StateNotSaved),
    ),
    Operation(
        "DELETE",
        "/admin/keys/{name}",
        keys.revoke,
        scope="admin",
        tag=TAG,
        summary="Revoke a named key",
        description="The key stops working at once, and its running requests end within a second.",
        parameters=(_NAME,),
        answers={200: answer("The name of the key that was revoked.", examples.REVOKED)},
        raises=(KeyNotFound, Conflict, StateNotSaved),
    ),
    Operation(
        "POST",
        "/admin/keys/{name}/rotate",
        keys.rotate,
        scope="admin",
        tag=TAG,
        summary="Replace a key's secret",
        description=(
            "With `graceSeconds`, the previous secret works for so long beside the new one. Otherwise it "
            "ends at once, and so do the requests that were made with it. A second rotation ends it too."
        ),
        parameters=(_NAME,),
        body=json_of(examples.ROTATE),
        answers={200: answer("The key. `key` is the new secret.", examples.MADE)},
        raises=(*OF_JSON_BODIES, KeyNotFound, StateNotSaved),
    ),
)
