"""Connects what the engine loop says of memory, devices and idle time with where it is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QObject, QTimer, Slot

from explorer.engine.hardware import device
from explorer.engine.hardware.device import Option
from explorer.gui.engine_loop import EngineLoop
from explorer.gui.explore.recipe_panel import RecipePanel
from explorer.gui.model_parts.model_picker import ModelPicker
from explorer.gui.settings.settings_page import SettingsPage
from explorer.gui.settings_store import SettingsStore
from explorer.gui.widgets.notices import Notices
from explorer.gui.window.status_bar import StatusBar
from explorer.loading.memory_advice import MemoryWarning, Remedy

SILENT = {
    "engine": "The engine has not answered for some seconds, because it was stopped or its driver"
    " hangs: restart it, or wait; what the lanes show stays.",
    "load": "The engine that loads the model has not answered for some seconds, because it was"
    " stopped or its driver hangs: restart it, cancel the load, or wait.",
}
RESTART = "Restart the engine"
MEMORY, SILENCE = "memory", "silence"
"""What a notice is about; it goes when that is over."""


class EngineWiring(QObject):
    """Warns before a load, mends sentences that are over, and keeps the settings page truthful."""

    def __init__(
        self,
        engine_loop: EngineLoop,
        settings_store: SettingsStore,
        notices: Notices,
        picker: ModelPicker,
        recipe: RecipePanel,
        status: StatusBar,
        settings: SettingsPage,
        options: Callable[[], Sequence[Option]] = device.options,
    ) -> None:
        """Connect them; ``options`` is asked for the devices when the page is first wanted."""
        super().__init__(notices)
        loading = self._loading = engine_loop.loading
        self._engine_loop = engine_loop
        self._settings_store, self._notices = settings_store, notices
        self._picker, self._recipe, self._settings = picker, recipe, settings
        self._options = options
        loading.lanes = settings_store.settings.lanes
        loading.unload_seconds = 60.0 * settings_store.settings.unload_minutes
        settings.set_unload(settings_store.settings.unload_minutes)
        settings.unload_changed.connect(self._on_unload)
        recipe.lanes_changed.connect(self._on_lanes)
        loading.warned.connect(self._on_warned)
        loading.ran_out.connect(self._on_ran_out)
        loading.silence_changed.connect(self._on_silence)
        loading.notice_changed.connect(notices.replace)
        loading.asleep_changed.connect(status.show_asleep)
        loading.engine_ready.connect(self._on_engine_ready)
        # After the first picture: asking the driver may take a moment.
        QTimer.singleShot(0, self, self._list_devices)

    @Slot()
    def _list_devices(self) -> None:
        self._settings.set_options(self._options())

    @Slot(object)
    def _on_engine_ready(self, ready: object) -> None:
        if ready is not None:
            self._list_devices()  # what is free has changed

    @Slot(int)
    def _on_unload(self, minutes: int) -> None:
        self._settings_store.change(unload_minutes=minutes)
        self._loading.unload_seconds = 60.0 * minutes

    @Slot(int)
    def _on_lanes(self, lanes: int) -> None:
        self._loading.set_lanes(lanes)

    @Slot(object)
    def _on_warned(self, found: MemoryWarning | None) -> None:
        self._notices.settle(MEMORY)  # another load was asked for, or none any more
        if found is not None:
            self._say(found)

    @Slot(str)
    def _on_silence(self, silent: str) -> None:
        self._notices.settle(SILENCE)
        actions = [(RESTART, self._engine_loop.restart_engine)]
        self._notices.say(SILENT.get(silent, ""), actions, kind=SILENCE)

    @Slot(object)
    def _on_ran_out(self, found: MemoryWarning) -> None:
        self._say(found)
        if self._picker.problem.text() == found.sentence:
            self._picker.set_problem("")  # it stands above the lanes, with its ways out

    def _say(self, found: MemoryWarning) -> None:
        actions = [(way.label, self._action(way, found)) for way in found.ways]
        self._notices.say(found.sentence, actions, kind=MEMORY)

    def _action(self, way: Remedy, found: MemoryWarning) -> Callable[[], object]:
        if way.kind == "build":
            return lambda: self._picker.model_chosen.emit(found.model, str(way.value))
        if way.kind == "lanes":
            return lambda: self._take_lanes(int(way.value), found)
        return self._loading.load_anyway

    def _take_lanes(self, lanes: int, found: MemoryWarning) -> None:
        self._recipe.set_lanes(lanes)
        if self._loading.loaded is None and self._loading.held is None:
            # An engine that was given up starts again with a model that is chosen.
            self._picker.model_chosen.emit(found.model, found.build)
