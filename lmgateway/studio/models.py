"""Which models are active: the one for text and the one for embeddings."""

from __future__ import annotations

from ..schema import ActivateRequest, ActiveModel, DefaultInference, ModelType


class Models:
    """The owner of what is active. Others ask; only its methods change anything."""

    def __init__(self) -> None:
        self._active: dict[ModelType, ActiveModel] = {}

    def active(self, kind: ModelType) -> ActiveModel | None:
        """Return the model that answers requests of this kind which name none."""
        return self._active.get(kind)

    def activate(self, request: ActivateRequest) -> ActiveModel:
        """Make this the active model of its type. Nothing is loaded."""
        active = ActiveModel(
            model_key=request.model_key,
            instance_id=request.instance_id,
            default_inference=request.default_inference or DefaultInference(),
        )
        self._active[request.type] = active
        return active
