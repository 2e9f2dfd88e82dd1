"""Publishes the events of one load."""

from __future__ import annotations

from ..observe.event_stream import Events
from ..observe.events import ModelLoadComplete, ModelLoadProgress, ModelLoadStart
from ..schema.models import LoadConfig
from .load_in_progress import LoadKey


class LoadEvents:
    """The events of the load with this key on this box."""

    def __init__(self, events: Events, box: str, key: LoadKey) -> None:
        self._events = events
        self._box = box
        self._model_key, self._instance_id = key.model_key, key.instance_id

    def started(self, config: LoadConfig | None) -> None:
        """`config` has the settings that are asked for, None for LM Studio's own."""
        self._events.publish(
            ModelLoadStart(
                model_key=self._model_key, instance_id=self._instance_id, load_config=config, box=self._box
            )
        )

    def progressed(self, fraction: float) -> None:
        """`fraction` is from 0 to 1."""
        self._events.publish(
            ModelLoadProgress(
                model_key=self._model_key,
                instance_id=self._instance_id,
                progress=round(fraction * 100, 1),
                progress_raw=fraction,
                box=self._box,
            )
        )

    def completed(self, *, activated: bool, total_ms: int, config: dict[str, object]) -> None:
        """`config` has the settings that LM Studio has applied."""
        self._events.publish(
            ModelLoadComplete(
                model_key=self._model_key,
                instance_id=self._instance_id,
                activated=activated,
                total_time_ms=total_ms,
                load_config=config,
                box=self._box,
            )
        )
