"""Connects the models of this machine with the engine and with what the window says of them."""

from __future__ import annotations

from PySide6.QtCore import QObject, Slot

from explorer.engine.messages import Ready
from explorer.gui.controller import Controller, Loaded
from explorer.gui.explore_page import ExplorePage
from explorer.gui.memory import Memory
from explorer.gui.model_desk import ModelDesk
from explorer.gui.model_picker import parameters
from explorer.gui.settings_page import SettingsPage
from explorer.gui.status import Status

CPU_BUILD = "cpu-int8"


class ModelLink(QObject):
    """Opens models as they are chosen and shows how far that is, what runs, and where."""

    def __init__(
        self,
        controller: Controller,
        desk: ModelDesk,
        memory: Memory,
        page: ExplorePage,
        status: Status,
        settings: SettingsPage,
    ) -> None:
        """Connect them; nothing is opened before :meth:`start`."""
        super().__init__(page)
        self.desk = desk
        self._controller, self._memory = controller, memory
        self._page, self._status, self._settings = page, status, settings
        self._picker = page.models
        self._picker.model_chosen.connect(self._on_model_chosen)
        self._picker.import_requested.connect(desk.import_folder)
        self._picker.cancel_requested.connect(desk.cancel)
        desk.progress.connect(self._on_progress)
        desk.listed.connect(self._list)
        desk.opened.connect(self._on_opened)
        desk.failed.connect(self._on_failed)
        controller.engine_ready.connect(self._on_engine_ready)
        controller.load_refused.connect(self._on_load_refused)
        controller.prefill.connect(self._on_prefill)
        page.set_model("coming")  # with start(), which follows the first picture
        settings.device_changed.connect(self._on_device)
        settings.threads_changed.connect(self._on_threads)

    def start(self) -> None:
        """Bring out the model used last, or another one that works."""
        settings = self._memory.settings
        self._list()
        names = [model.name for model in self.desk.models() if not model.problem]
        if not names:
            self._page.set_model("none")
            self._page.show_state(
                "No model yet",
                "Drop a GPT-2 folder (config.json, model.safetensors and its tokenizer) here,\n"
                "or choose Import… on the left.",
            )
            return
        name = settings.model if settings.model in names else names[0]
        self.desk.open(name, settings.build if name == settings.model else "")

    @Slot()
    def _list(self) -> None:
        loaded, settings = self._controller.loaded, self._memory.settings
        name = loaded.manifest.name if loaded else settings.model
        build = loaded.build if loaded else settings.build
        self._picker.set_models(self.desk.models(), name, build)

    @Slot(str, str)
    def _on_model_chosen(self, name: str, build: str) -> None:
        self._memory.change(model=name, build=build)
        self.desk.open(name, build)

    @Slot(object, str)
    def _on_progress(self, fraction: float | None, words: str) -> None:
        self._picker.set_progress(fraction, words)
        if words:
            self._picker.set_problem("")  # of the attempt before
        if self._controller.ready is None:
            self._page.set_model("coming" if words or self._controller.loaded else "none")
        if words and self._controller.loaded is None:
            self._page.show_state(
                "Getting the model ready",
                "It is made for this machine once and then kept.\n"
                "You can write the prompt in the meantime.",
            )

    @Slot(object)
    def _on_opened(self, loaded: Loaded) -> None:
        settings = self._memory.settings
        if loaded.manifest.name != settings.model:
            self._memory.change(model=loaded.manifest.name, build="")
        self._picker.set_problem("")
        self._controller.load(loaded, settings.device, settings.threads)
        self._list()
        self._page.show_state()

    @Slot(str)
    def _on_failed(self, sentence: str) -> None:
        self._picker.set_problem(sentence)
        if self._controller.ready is None:
            self._page.set_model("none")
        if self._controller.loaded is None:
            self._page.show_state(
                "No model is loaded", "What is wrong stands on the left; another one may work."
            )

    @Slot(str)
    def _on_load_refused(self, sentence: str) -> None:
        loaded = self._controller.loaded
        if loaded and loaded.build.startswith("cuda") and self._memory.settings.device == "auto":
            # RULES 11: another build is another hunt, and the screen says so.
            self._page.notices.say(f"{sentence} The CPU is used; its hunts are counted apart.")
            self.desk.open(loaded.manifest.name, CPU_BUILD)
        else:
            self._on_failed(sentence)

    @Slot(object)
    def _on_engine_ready(self, ready: Ready | None) -> None:
        loaded = self._controller.loaded
        words = ""
        if loaded is not None:
            size = parameters(loaded.manifest.parameters)
            words = f"{loaded.manifest.name} · {size} · {loaded.build}"
        self._status.show_model(words, ready)
        if ready is not None:
            name = ready.device_name or ready.device.upper()
            note = f"Runs on {name}. {ready.reason}".strip()
            self._settings.set_device(self._memory.settings.device, note)
        self._page.set_model("ready" if ready else "coming" if loaded else "none")

    @Slot(int, int)
    def _on_prefill(self, done: int, total: int) -> None:
        over = done >= total
        self._status.show_progress(
            None if over else done / total, f"Reading the prompt: {done:,} of {total:,} tokens"
        )

    @Slot(str)
    def _on_device(self, device: str) -> None:
        loaded = self._controller.loaded
        self._memory.change(device=device, build="")
        if loaded is not None:
            self.desk.open(loaded.manifest.name)

    @Slot(int)
    def _on_threads(self, threads: int) -> None:
        self._memory.change(threads=threads)
        if self._controller.loaded is not None:
            self._on_opened(self._controller.loaded)
