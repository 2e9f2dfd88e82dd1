"""The JSON of LM Studio's own /api/v1/models/load and unload, whose names are never in camel case."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import fields

from .common import ModelType, Name, about
from .models import LoadConfig

_SETTINGS = (
    "context_length",
    "eval_batch_size",
    "flash_attention",
    "num_experts",
    "offload_kv_cache_to_gpu",
    "parallel",
)
NATIVE_NAMES = {field.encode_name: field.name for field in fields(LoadConfig) if field.name in _SETTINGS}
"""LM Studio's names of load settings here, by those of a LoadConfig."""


class NativeLoad(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    model: Name
    context_length: Annotated[int, Meta(gt=0)] | None = None
    eval_batch_size: Annotated[int, Meta(ge=1)] | None = None
    flash_attention: bool | None = None
    num_experts: int | None = None
    offload_kv_cache_to_gpu: bool | None = None
    echo_load_config: bool | None = None

    @property
    def load_config(self) -> LoadConfig | None:
        config = LoadConfig(
            context_length=self.context_length,
            eval_batch_size=self.eval_batch_size,
            flash_attention=self.flash_attention,
            num_experts=self.num_experts,
            offload_kv_cache_to_gpu=self.offload_kv_cache_to_gpu,
        )
        return None if config == LoadConfig() else config


class NativeLoaded(Struct, frozen=True, kw_only=True):
    type: ModelType
    instance_id: str
    load_time_seconds: Annotated[float, about("0 for an instance that was there.")]
    status: Literal["loaded"] = "loaded"
    load_config: dict[str, object] | UnsetType = UNSET


class NativeUnload(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    instance_id: Name


class NativeUnloaded(Struct, frozen=True, kw_only=True):
    instance_id: str
