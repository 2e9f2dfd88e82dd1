"""Which instances the gateway has loaded, and with which settings each model was loaded last."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs

from ...boxes.box import Box
from ...schema.models import LoadConfig
from ...storage.background_saves import BackgroundSaves
from ...storage.residency import BoxInstance, OwnOrigin, ResidencyRows, SavedOrigin, SavedResidency

# Far more than fit into memory. Without a bound, rows that nobody forgets would accumulate for ever.
MAX_INSTANCES = 1000


class Origins:
    """The owner of both, over restarts.

    Changes take effect at once and are saved in the background (see BackgroundSaves).
    """

    def __init__(self, storage: SavedResidency) -> None:
        self._storage = storage
        self._instances: dict[BoxInstance, SavedOrigin] = {}
        # The oldest load first.
        self._settings: dict[str, LoadConfig] = {}
        # What isn't saved yet. None deletes a row.
        self._unsaved_instances: dict[BoxInstance, SavedOrigin | None] = {}
        self._unsaved_settings: dict[str, LoadConfig] = {}
        self._saves = BackgroundSaves(self._take, storage.save, self._put_back)

    async def restore(self) -> None:
        """Load what was saved. Raises sqlite3.Error."""
        rows = await self._storage.load()
        self._instances = {name: row for name, row in rows.instances.items() if row is not None}
        self._settings = dict(rows.settings)

    async def close(self) -> None:
        """Save what isn't saved yet. Nothing may change afterwards."""
        await self._saves.close()

    # ── Instances ──────────────────────────────────────────────────────────────────────────────────────────

    def of(self, box: str, identifier: str, model: str) -> SavedOrigin | None:
        """Return the origin of an instance, None if the gateway has loaded no such one of this model."""
        row = self._instances.get(BoxInstance(box, identifier))
        return row if row is not None and row.model == model else None

    def on(self, box: str) -> dict[str, SavedOrigin]:
        """Return the instances of a box by identifier, as they are now."""
        return {name.identifier: row for name, row in self._instances.items() if name.box == box}

    def put(
        self,
        box: str,
        identifier: str,
        model: str,
        origin: OwnOrigin,
        load_seconds: float,
        reference: str | None = None,
    ) -> None:
        """Record that the gateway has loaded an instance, in so many seconds.

        `reference` is LM Studio's own name of exactly this instance, if it is known.
        """
        name = BoxInstance(box, identifier)
        self._instances.pop(name, None)
        self._put(name, SavedOrigin(model, origin, load_seconds, reference))
        if len(self._instances) > MAX_INSTANCES:
            self.forget(*next(iter(self._instances)))

    def change(self, box: str, identifier: str, origin: OwnOrigin) -> None:
        """Give an instance another origin. Without effect if the gateway hasn't loaded it."""
        name = BoxInstance(box, identifier)
        row = self._instances.get(name)
        if row is not None and row.origin != origin:
            self._put(name, structs.replace(row, origin=origin))

    def forget(self, box: str, identifier: str) -> None:
        """Forget an instance: it is no longer in memory."""
        name = BoxInstance(box, identifier)
        if self._instances.pop(name, None) is not None:
            self._unsaved_instances[name] = None
            self._saves.soon()

    async def check(self, box: Box) -> tuple[str, ...]:
        """Ask LM Studio whether the box's instances are still those that the gateway loaded.

        Returns as `verify`, and raises as SdkCalls. LM Studio isn't asked if the gateway has loaded none.
        """
        before = self.on(box.name)
        return self.verify(box.name, await box.sdk.references(), before) if before else ()

    def verify(
        self,
        box: str,
        references: Mapping[str, str | None],
        before: Mapping[str, SavedOrigin] | None = None,
    ) -> tuple[str, ...]:
        """Forget the instances that are gone or have another reference; return their identifiers.

        `references` are LM Studio's, by the identifiers of all instances in memory; None is unknown. `before`
        is what `on` returned before LM Studio was asked: an instance that was put or changed since isn't
        judged, because the answer may be older.
        """
        gone = []
        for identifier, row in self.on(box).items():
            if before is not None and before.get(identifier) is not row:
                continue
            reference = references.get(identifier)
            if identifier not in references or (row.reference and reference and row.reference != reference):
                self.forget(box, identifier)
                gone.append(identifier)
            elif row.reference is None and reference is not None:
                self._put(BoxInstance(box, identifier), structs.replace(row, reference=reference))
        return tuple(gone)

    def _put(self, name: BoxInstance, row: SavedOrigin) -> None:
        self._instances[name] = self._unsaved_instances[name] = row
        self._saves.soon()

    # ── Settings ───────────────────────────────────────────────────────────────────────────────────────────

    def settings(self, model: str) -> LoadConfig | None:
        """Return what a model was last loaded with through the gateway, None if that isn't known."""
        return self._settings.get(model)

    def remember_settings(self, model: str, settings: LoadConfig) -> None:
        """Record what a model was loaded with. Only the newest loads are remembered."""
        for each in (self._settings, self._unsaved_settings):
            each.pop(model, None)
            each[model] = settings
            if len(each) > self._storage.max_settings:
                del each[next(iter(each))]
        self._saves.soon()

    # ── Saving ─────────────────────────────────────────────────────────────────────────────────────────────

    def _take(self) -> ResidencyRows | None:
        if not (self._unsaved_instances or self._unsaved_settings):
            return None
        changes = ResidencyRows(self._unsaved_instances, self._unsaved_settings)
        self._unsaved_instances, self._unsaved_settings = {}, {}
        return changes

    def _put_back(self, changes: ResidencyRows) -> None:
        """Have what couldn't be saved tried again, but for what has a newer value by now."""
        self._unsaved_instances = {**changes.instances, **self._unsaved_instances}
        newer = self._unsaved_settings
        # A load that is newer comes later, also if its model was loaded before.
        older = {model: each for model, each in changes.settings.items() if model not in newer}
        self._unsaved_settings = {**older, **newer}
