"""Connects the models of this machine with the engine and with what the window says of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Slot

from explorer.engine.hardware.device import CPU_BUILD
from explorer.engine.messages import Ready
from explorer.gui.engine_loop import EngineLoop
from explorer.gui.explore.explore_page import ExplorePage
from explorer.gui.model_parts.import_panel import ImportPanel
from explorer.gui.model_parts.model_jobs import ModelJobs
from explorer.gui.model_parts.model_tasks import Task
from explorer.gui.model_parts.model_words import ModelAdvice, parameters
from explorer.gui.models.models_page import ModelsPage
from explorer.gui.settings.settings_page import SettingsPage
from explorer.gui.settings_store import SettingsStore
from explorer.gui.window.status_bar import StatusBar
from explorer.loading.model_loader import Loaded


class ModelWiring(QObject):
    """Opens models as they are chosen and shows how far that is, what runs, and where."""

    def __init__(
        self,
        engine_loop: EngineLoop,
        model_jobs: ModelJobs,
        settings_store: SettingsStore,
        page: ExplorePage,
        status: StatusBar,
        settings: SettingsPage,
        models: ModelsPage,
        insight: ModelAdvice,
    ) -> None:
        """Connect them; nothing is opened before :meth:`start`."""
        super().__init__(page)
        self.model_jobs = model_jobs
        self._engine_loop, self._settings_store = engine_loop, settings_store
        self._page, self._status, self._settings = page, status, settings
        self._models, self._insight = models, insight
        self._picker = page.models
        self._shown: Task | None = None
        self._picker.model_chosen.connect(self.choose)
        self._picker.import_requested.connect(partial(self.ask_import, self._picker.naming))
        models.import_asked.connect(partial(self.ask_import, models.naming))
        for naming in (self._picker.naming, models.naming):
            naming.confirmed.connect(partial(self._on_import_confirmed, naming))
        self._picker.pause_requested.connect(model_jobs.pause)
        self._picker.cancel_requested.connect(self._on_cancel)
        models.use_asked.connect(self.choose)
        models.shown.connect(self._list)
        model_jobs.tasks_changed.connect(self._on_tasks_changed)
        model_jobs.news.connect(status.say)
        model_jobs.listed.connect(self._list)
        model_jobs.opened.connect(self._on_opened)
        model_jobs.altered.connect(self._on_altered)
        model_jobs.damaged.connect(lambda name, sentence: models.note_damage(name, "", sentence))
        engine_loop.loading.damaged.connect(self._on_damaged)
        model_jobs.failed.connect(self._on_failed)
        engine_loop.loading.engine_ready.connect(self._on_engine_ready)
        engine_loop.loading.load_refused.connect(self._on_load_refused)
        engine_loop.loading.coming_changed.connect(self._on_coming)
        engine_loop.prefill.connect(self._on_prefill)
        page.set_model("coming")  # with start(), which follows the first picture
        settings.device_changed.connect(self._on_device)
        settings.threads_changed.connect(self._on_threads)

    def start(self) -> None:
        """Bring out the model used last, or another one that works."""
        settings = self._settings_store.settings
        self._list()
        names = [model.name for model in self.model_jobs.models() if not model.problem]
        if not names:
            self._page.set_model("none")
            self._page.show_state(
                "No model yet",
                "Drop a GPT-2 folder (config.json, model.safetensors and its tokenizer) here,\n"
                "or choose Import… on the left.",
            )
            return
        name = settings.model if settings.model in names else names[0]
        self.model_jobs.open(name, settings.build if name == settings.model else "")

    @Slot()
    def _list(self) -> None:
        loaded, settings = self._engine_loop.loaded, self._settings_store.settings
        name = loaded.manifest.name if loaded else settings.model
        build = loaded.build if loaded else settings.build
        models = self.model_jobs.models()
        folder = next((model.folder for model in models if model.name == name), None)
        quality = self._insight.quality(folder) if folder else {}
        self._picker.set_models(models, name, build, quality)
        self._models.set_models(models, (name, build) if loaded else None)

    @Slot(str, str)
    def choose(self, name: str, build: str) -> None:
        """Open a model with a build, and again at the next start."""
        self._settings_store.change(model=name, build=build)
        self.model_jobs.open(name, build)

    def ask_import(self, naming: ImportPanel, source: Path) -> None:
        """Ask in ``naming`` what to call a model and whether to switch to it, if it can be one."""
        if name := self.model_jobs.name_for(source):
            opens = self._settings_store.settings.open_imported
            naming.ask(source, name, opens, self.model_jobs.name_problem)

    def _on_import_confirmed(
        self, naming: ImportPanel, source: Path, name: str, opens: bool
    ) -> None:
        self._settings_store.change(open_imported=opens)
        if self.model_jobs.busy() is None:  # else it says so, and the answers stay
            naming.done()
        self.model_jobs.import_folder(source, name, opens)

    @Slot()
    def _on_tasks_changed(self) -> None:
        running = [task for task in self.model_jobs.tasks() if not task.problem]
        shown, before = next(iter(running), self._loading()), self._shown
        self._shown = shown
        self._picker.set_task(shown, self.model_jobs.busy())
        if shown and not (before and before.key == shown.key):
            self._picker.set_problem("")  # of the attempt before
        coming = any(task.opens for task in running)
        if self._engine_loop.ready is None:
            self._page.set_model("coming" if coming or self._engine_loop.loaded else "none")
        if coming and self._engine_loop.loaded is None:
            self._page.show_state(
                "Getting the model ready",
                "It is converted for this machine once and then kept.\n"
                "You can write the prompt in the meantime.",
            )

    @Slot()
    def _on_cancel(self) -> None:
        if self._shown is not None and self._shown == self._loading():
            self._engine_loop.loading.cancel()
        elif self._shown is not None:
            self.model_jobs.cancel_task(self._shown)

    def _loading(self) -> Task | None:
        """Return what the engine is loading, as a task, while no other one runs."""
        loading = self._engine_loop.loading
        loaded = loading.coming or (loading.loaded if loading.ready is None else None)
        if loaded is None:
            return None
        name = loaded.manifest.name
        return Task("open", name, f"Loading {name} ({loaded.build})", opens=True)

    @Slot(object)
    def _on_coming(self, coming: Loaded | None) -> None:
        self._on_tasks_changed()
        if coming is not None:
            self._page.set_model("coming")  # a Generate is meant for it
            return
        self._list()
        if self._engine_loop.ready is not None:
            # It came; or the one before goes on, and no Generate was meant for that.
            self._page.set_model("none")
            self._page.set_model("ready")

    @Slot(object)
    def _on_opened(self, loaded: Loaded) -> None:
        settings = self._settings_store.settings
        if loaded.manifest.name != settings.model:
            self._settings_store.change(model=loaded.manifest.name, build="")
        self._picker.set_problem("")
        self._engine_loop.loading.load(loaded, settings.device, settings.threads)
        self._list()
        self._page.show_state()

    @Slot(str, str)
    def _on_altered(self, name: str, build: str) -> None:
        """Load a build afresh that was made again; tries that stream on the old one are not cut."""
        loaded = self._engine_loop.loaded
        running = self._engine_loop.review.running
        if loaded and (loaded.manifest.name, loaded.build) == (name, build) and not running:
            self.model_jobs.open(name, build)

    @Slot(str)
    def _on_failed(self, sentence: str) -> None:
        """Show why a task failed; what else is on its way is still on its way."""
        self._picker.set_problem(sentence)
        if self._engine_loop.loaded is None and not any(t.opens for t in self.model_jobs.tasks()):
            self._show_none(sentence)

    def _show_none(self, sentence: str) -> None:
        self._picker.set_problem(sentence)
        if self._engine_loop.ready is None:
            self._page.set_model("none")
        if self._engine_loop.loaded is None:
            self._page.show_state(
                "No model is loaded", "What is wrong stands on the left; another one may work."
            )

    @Slot(object, str)
    def _on_damaged(self, loaded: Loaded, sentence: str) -> None:
        self._models.note_damage(loaded.manifest.name, loaded.build, sentence)

    @Slot(str)
    def _on_load_refused(self, sentence: str) -> None:
        loaded = self._engine_loop.loading.refused
        if loaded and loaded.manifest.name not in sentence:
            sentence = f"{loaded.manifest.name} ({loaded.build}) cannot be opened. {sentence}"
        if (
            loaded
            and loaded.build.startswith("cuda")
            and self._settings_store.settings.device == "auto"
        ):
            # RULES 11: another build is another hunt, and the screen says so.
            self._page.notices.say(f"{sentence} The CPU is used; its hunts are counted apart.")
            name = loaded.manifest.name
            self.model_jobs.open(name, self.model_jobs.build_to_open(name, CPU_BUILD))
        else:
            self._show_none(sentence)

    @Slot(object)
    def _on_engine_ready(self, ready: Ready | None) -> None:
        loaded = self._engine_loop.loaded
        words = ""
        if loaded is not None:
            size = parameters(loaded.manifest.parameters)
            words = f"{loaded.manifest.name} · {size} · {loaded.build}"
        self._status.show_model(words, ready)
        if loaded is not None and ready is not None:
            self._models.forget_damage(loaded.manifest.name, loaded.build)
            self.model_jobs.note_used(loaded.folder)
        if ready is not None:
            name = ready.device_name or ready.device.upper()
            note = f"Runs on {name}. {ready.reason}".strip()
            self._settings.set_device(self._settings_store.settings.device, note)
        self._page.set_model("ready" if ready else "coming" if loaded else "none")
        self._on_tasks_changed()

    @Slot(int, int)
    def _on_prefill(self, done: int, total: int) -> None:
        over = done >= total
        self._status.show_progress(
            None if over else done / total, f"Reading the prompt: {done:,} of {total:,} tokens"
        )

    @Slot(str)
    def _on_device(self, device: str) -> None:
        loaded = self._engine_loop.loaded
        self._settings_store.change(device=device, build="")
        if loaded is not None:
            self.model_jobs.open(loaded.manifest.name)

    @Slot(int)
    def _on_threads(self, threads: int) -> None:
        self._settings_store.change(threads=threads)
        if self._engine_loop.loaded is not None:
            self._on_opened(self._engine_loop.loaded)
