"""What a load asks for, and the instance that it results in."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from ..errors import BadRequest, Conflict, GatewayError
from ..schema.common import ModelType
from ..schema.models import DownloadedModel, LoadConfig
from . import inventory
from .applied_settings import Difference, differences
from .inventory import NewInstance
from .sdk import library as sdk
from .sdk.calls import SdkCalls

logger = logging.getLogger(__name__)


class LoadedInstance(Struct, frozen=True, kw_only=True):
    """The result of a load.

    `model_key` is LM Studio's, also if the model was requested by its path; `reference` is LM Studio's own
    name of exactly this instance, if it was loaded now, in `load_seconds`, and LM Studio told it.

    `load_config` is what LM Studio applied, empty if it doesn't say; `ignored` are the requested settings
    that it doesn't have, `differences` those with another value. `was_loaded` is true if nothing was loaded,
    because the model had this instance.
    """

    type: ModelType
    model_key: str
    identifier: str
    load_config: dict[str, object]
    ignored: tuple[str, ...]
    differences: tuple[Difference, ...]
    was_loaded: bool = False
    load_seconds: float = 0.0
    reference: str | None = None


class LoadOrder(Struct, frozen=True, kw_only=True):
    """The model to load, under its `names` (key, path, and as requested), and its settings.

    `model_key` is the name as requested if LM Studio doesn't list it. Without a `config` LM Studio decides.

    `settings` are those of `config` that this type of model has; `ignored` are the paths of the others.
    """

    type: ModelType
    model_key: str
    names: frozenset[str]
    config: LoadConfig | None
    settings: Mapping[str, object]
    ignored: tuple[str, ...]

    @classmethod
    def of(cls, name: str, models: Sequence[DownloadedModel], config: LoadConfig | None) -> LoadOrder:
        """Return the order for the model with this key or path. Raises BadRequest if it can't be loaded."""
        model = inventory.find(name, models)
        # LM Studio itself may know a name that it doesn't list.
        kind = "llm" if model is None else model.type
        if kind not in inventory.KINDS:
            raise BadRequest(f"{name} is of type {kind}; only llm and embedding models can be loaded.")
        names = {name} if model is None else {name, model.model_key, model.path}
        settings, ignored = sdk.split_config(msgspec.to_builtins(config or LoadConfig()), kind)
        return cls(
            type=kind,
            model_key=name if model is None else model.model_key,
            names=frozenset(names),
            config=config,
            settings=settings,
            ignored=ignored,
        )

    async def instance(
        self, calls: SdkCalls, new: NewInstance, *, was_loaded: bool = False, load_seconds: float = 0.0
    ) -> LoadedInstance:
        """Return the instance as the result of the load."""
        applied = await _applied(calls, self.type, new.identifier)
        return LoadedInstance(
            type=self.type,
            model_key=self.model_key,
            identifier=new.identifier,
            load_config=applied,
            ignored=self.ignored,
            differences=differences(self.settings, applied),
            was_loaded=was_loaded,
            load_seconds=load_seconds,
            reference=new.reference,
        )

    async def instance_in_memory(
        self, calls: SdkCalls, identifier: str | None, *, is_explicit: bool
    ) -> LoadedInstance | None:
        """Return the model's instance with these settings, or any one unless they are explicit.

        With an identifier, only the instance that has it counts.

        None if the model has no instance. Raises Conflict if none has the settings, and as SdkCalls.loaded.
        """
        loaded = [
            one
            for one in await calls.loaded()
            if one.kind == self.type
            and (one.model_key in self.names or one.path in self.names)
            and identifier in {None, one.identifier}
        ]
        # The instance with the key's name first: LM Studio uses it for requests that name the key.
        loaded.sort(key=lambda one: one.identifier != one.model_key)
        others: list[LoadedInstance] = []
        for one in loaded:
            instance = await self.instance(calls, NewInstance(one.identifier), was_loaded=True)
            if not instance.differences:
                return instance
            others.append(instance)
        if is_explicit and others:
            others_settings = ", ".join(map(str, others[0].differences))
            raise Conflict(
                f"{others[0].identifier} is loaded already, with {others_settings}. To change its settings, "
                "unload it first (`lmgateway unload`). To load one more instance, send `another` (--another) "
                "or an instanceId (--id)."
            )
        return others[0] if others else None


async def _applied(calls: SdkCalls, kind: ModelType, identifier: str) -> dict[str, object]:
    try:
        return await calls.load_config(kind, identifier)
    except GatewayError as exc:
        # The model is loaded all the same: after an error the caller would load it again.
        logger.warning("the settings that %s was loaded with are unknown: %s", identifier, exc.code)
        return {}
