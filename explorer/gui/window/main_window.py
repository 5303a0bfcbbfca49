"""The window: rail, pages, menus, status bar; wiring between them and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import QByteArray, QEvent, QSize, Qt, Slot
from PySide6.QtGui import (
    QCloseEvent,
    QDragEnterEvent,
    QDropEvent,
    QKeyEvent,
    QResizeEvent,
    QShowEvent,
)
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QMainWindow,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from explorer.core.errors import ExplorerError
from explorer.gui.collection.collection_panel import CollectionPanel
from explorer.gui.collection.export_dialog import ExportDialog
from explorer.gui.collection.sample_view import SampleView
from explorer.gui.engine_loop import EngineLoop
from explorer.gui.explore.explore_page import RIGHT_WIDTH, ExplorePage, panel
from explorer.gui.explore.presets import PromptGroup
from explorer.gui.explore.stopping import Stopping
from explorer.gui.explore.tries_dialog import TriesDialog
from explorer.gui.help.about_dialog import AboutDialog
from explorer.gui.help.docs_dialog import DocsDialog
from explorer.gui.help.help_dialog import HelpDialog
from explorer.gui.history.history_page import HistoryPage
from explorer.gui.library_access import LibraryAccess
from explorer.gui.model_parts.model_jobs import ModelJobs
from explorer.gui.model_parts.model_picker import ModelPicker, dropped_path
from explorer.gui.model_parts.model_words import ModelAdvice
from explorer.gui.models.models_page import ModelsPage
from explorer.gui.settings.settings_page import SettingsPage
from explorer.gui.settings_store import SettingsStore
from explorer.gui.style import theme
from explorer.gui.style.guard import guarded
from explorer.gui.widgets.shortcuts import command_for, copies, is_editing, is_plain
from explorer.gui.window.appearance import Appearance
from explorer.gui.window.enter import EnterPresses
from explorer.gui.window.library_work import LibraryWork
from explorer.gui.window.menus import Actions
from explorer.gui.window.model_wiring import ModelWiring
from explorer.gui.window.navigation import PAGES, Navigation
from explorer.gui.window.page_commands import PageCommands
from explorer.gui.window.status_bar import StatusBar
from explorer.system.paths import Paths
from explorer.weights.hub.catalogue import CatalogueEntry

TITLE = "Sample Explorer"
FOLD_COLLECTION, FOLD_RAIL = 1100, 900
SMALLEST, USUAL = QSize(700, 520), QSize(1440, 900)
LARGE = QSize(900, 640)
"""What the smallest window grows to for large text, which needs the room for its words."""
EXPLORE, COLLECTION, HISTORY, MODELS, SETTINGS = range(len(PAGES))


@guarded
class MainWindow(QMainWindow):
    """Everything a person sees."""

    def __init__(
        self,
        engine_loop: EngineLoop,
        model_jobs: ModelJobs,
        settings_store: SettingsStore,
        library_access: LibraryAccess,
        *,
        prompts: tuple[PromptGroup, ...] = (),
        places: tuple[tuple[str, Path], ...] = (),
        catalogue: Sequence[CatalogueEntry] = (),
        insight: ModelAdvice | None = None,
        resources: Path | None = None,
    ) -> None:
        """Build the window as it was left the last time; show it with ``show()``."""
        super().__init__()
        self.engine_loop, self.settings_store, self._library_access = (
            engine_loop,
            settings_store,
            library_access,
        )
        self._resources, self._places = resources or Paths.default().resources, places
        self._folded: bool | None = None
        self.setWindowTitle(TITLE)
        self.setWindowIcon(theme.icon("app"))
        self.setAcceptDrops(True)
        self.panel = CollectionPanel(
            library_access.samples, library_access.collections, library_access.search
        )
        self.panel.set_collection(settings_store.settings.collection)
        self.explore = ExplorePage(engine_loop, settings_store, self.panel, prompts)
        self.history = HistoryPage(library_access.history, library_access.search)
        self.settings = SettingsPage(places)
        insight = insight or ModelAdvice()
        self.models_page = ModelsPage(model_jobs, catalogue, insight)
        self.sample_view = SampleView(library_access.samples, self.panel, self)
        self.export = ExportDialog(Path.home(), self)
        self.library_work = LibraryWork(
            library_access, self.export, self.history, lambda words: self.status.say(words), self
        )
        self.tries = TriesDialog(engine_loop.review, self)
        self.help = HelpDialog(self)
        self.docs = DocsDialog(self._resources.parent / "docs", self)
        self.about: AboutDialog | None = None
        self.status = StatusBar()
        self.navigation = Navigation()
        self.pages = QStackedWidget()
        self._shelf_page = panel(padding=0)
        self._arrange()
        self.actions_ = Actions(self, self.do)
        self._frame = (self.menuBar(), self.navigation, self._line, self.status)
        for part in (*self._frame, *self._pages):
            theme.dress(part)
        self._on_page = PageCommands(
            self.explore,
            self.panel,
            self.history,
            partial(self._show_collection, True),
            self.status.say,
        )
        self._commands = self._make_commands()
        self.appearance = Appearance(settings_store, self)
        self.models = ModelWiring(
            engine_loop,
            model_jobs,
            settings_store,
            self.explore,
            self.status,
            self.settings,
            self.models_page,
            insight,
        )
        self.stopping = Stopping(engine_loop, self.explore.lanes, self.explore.recipe.stop, self)
        self.stopping.changed.connect(self._on_stop_words)
        self._show_settings()
        self._connect()
        EnterPresses(self)
        self._restore_place()
        self.explore.prompt.editor.setFocus()  # what a person starts with

    def _arrange(self) -> None:
        centre = QWidget()
        centre.setProperty("role", "background")
        line = self._line = QFrame()
        line.setProperty("role", "vline")
        row = QHBoxLayout(centre)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        for widget in (self.navigation, line):
            row.addWidget(widget)
        row.addWidget(self.pages, 1)
        library = QWidget()
        column = QVBoxLayout(library)
        column.setContentsMargins(*[theme.PADDING] * 4)
        self._shelf_page.setProperty("role", "card")
        column.addWidget(self._shelf_page)
        self._pages = (self.explore, library, self.history, self.models_page, self.settings)
        for page in self._pages:
            self.pages.addWidget(page)
        self.setCentralWidget(centre)
        self.setStatusBar(self.status)

    def _connect(self) -> None:
        self.navigation.page_chosen.connect(self.show_page)
        engine_loop = self.engine_loop
        engine_loop.speed_changed.connect(self.status.show_speed)
        engine_loop.message.connect(self._on_message)
        engine_loop.counts_changed.connect(self._show_undo)
        engine_loop.running_changed.connect(self._on_running)
        engine_loop.hunt_changed.connect(self._on_hunt_changed)
        engine_loop.collection_changed.connect(self._show_history)
        self.explore.strip.all_tries_asked.connect(self._show_tries)
        self.explore.recipe.policy_changed.connect(self._show_policy)
        self.explore.recipe.lanes_changed.connect(self._on_lanes)
        self.explore.splitterMoved.connect(self._on_splitter_moved)
        engine_loop.counts_changed.connect(self.tries.refresh_soon)
        self.tries.try_chosen.connect(self._on_try_chosen)
        self.tries.verdict_asked.connect(engine_loop.judge_tries)
        self.tries.keep_rest_asked.connect(engine_loop.keep_try_rest_rejected)
        self.tries.take_back_asked.connect(engine_loop.take_back_of)
        self.tries.message.connect(self.status.say)
        for dialog in (self.tries, self.sample_view, self.export, self.help, self.docs):
            dialog.command_asked.connect(self.do)
        engine_loop.collection_changed.connect(self.sample_view.refresh)
        self.panel.export_requested.connect(self._on_export_requested)
        self.panel.collection_changed.connect(self._on_collection_changed)
        self.panel.message.connect(self.status.say)
        self.panel.changed.connect(engine_loop.refresh)
        self.panel.undo_asked.connect(engine_loop.undo)
        self.history.reopen.connect(self._on_reopen)
        self.history.deleted.connect(self._on_deleted)
        self.history.message.connect(self.status.say)
        self.explore.models.page_requested.connect(lambda: self.show_page(MODELS))
        self.models_page.use_asked.connect(lambda *_: self.show_page(EXPLORE))
        self.models_page.message.connect(self.status.say)
        self.settings.theme_changed.connect(self._set_theme)
        self.settings.text_size_asked.connect(self._set_text_size)
        self.settings.message.connect(self.status.say)
        self.settings_store.failed.connect(self.status.say)

    def setVisible(self, visible: bool) -> None:
        """Take up the present look before anything is seen."""
        if visible:
            for part in (*self._frame, self._pages[self.pages.currentIndex()]):
                theme.freshen(part)
        super().setVisible(visible)

    # Commands: the same for keys, menus and buttons

    def do(self, name: str) -> None:
        """Carry out a command by its name in ``actions`` or ``keys``."""
        self._commands[name]()

    def _make_commands(self) -> dict[str, Callable[[], object]]:
        explore, engine_loop = self.explore, self.engine_loop
        lanes = explore.lanes
        return {
            "generate": explore.generate,
            "new_hunt": explore.new_hunt,
            "stop": explore.stop,
            "until_keep": self._on_policy_entry,
            "hold": self._on_policy_entry,
            "edit_prompt": self._edit_prompt,
            "all_tries": self._show_tries,
            "copy": partial(self._on_page.copy, captioned=False),
            "copy_captioned": partial(self._on_page.copy, captioned=True),
            "filter": self._on_page.find,
            "keep": lambda: explore.judge("kept"),
            "reject": lambda: explore.judge("rejected"),
            "skip": lambda: explore.judge("skipped"),
            "keep_reject_rest": explore.keep_rest_rejected,
            "undo": engine_loop.undo,
            "redo": engine_loop.redo,
            "left": lambda: lanes.move_choice(-1, 0),
            "right": lambda: lanes.move_choice(1, 0),
            "up": lambda: lanes.move_choice(0, -1),
            "down": lambda: lanes.move_choice(0, 1),
            **{f"lane_{n + 1}": partial(lanes.choose, n) for n in range(8)},
            **{f"lanes_{n}": partial(explore.recipe.set_lanes, n) for n in range(1, 9)},
            **{f"page_{n}": partial(self.show_page, n) for n in range(len(PAGES))},
            "collection": self._on_collection_entry,
            "theme_system": partial(self._set_theme, "system"),
            "theme_light": partial(self._set_theme, "light"),
            "theme_dark": partial(self._set_theme, "dark"),
            "larger": partial(self._set_text_size, 1),
            "smaller": partial(self._set_text_size, -1),
            "normal_size": partial(self._set_text_size, 0),
            "import_model": self._on_import_entry,
            "download_model": self._on_download_entry,
            "export": lambda: self._on_export_requested(self.panel.collection() or 0),
            "quit": self.close,
            "keys": self.help.show_keys,
            "docs": self.docs.show_page,
            "about": self._show_about,
        }

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Take the keys that judge and choose, when nobody is typing."""
        if event.key() == Qt.Key.Key_Escape:  # where nothing streams it is no shortcut
            self.do("stop")
            return
        command = command_for(event)
        here = self.pages.currentIndex() == EXPLORE
        letter = is_plain(event)
        everywhere = command in ("undo", "redo") and not letter
        here = here or everywhere or copies(event) is not None
        if command is None or not here or (letter and is_editing(self.focusWidget())):
            super().keyPressEvent(event)
        elif not event.isAutoRepeat() or command in ("left", "right", "up", "down"):
            # A verdict is one press; a key that is held down must not judge what comes next.
            self.do(command)

    # Pages

    @Slot(int)
    def show_page(self, page: int) -> None:
        """Bring a page to the front; the collection panel goes where it is wanted."""
        # Asked first: what hides gives the keyboard to the rail.
        along_the_rail = self.navigation.isAncestorOf(self.focusWidget())
        self.navigation.choose(page)
        theme.freshen(self._pages[page])
        # Before the panel moves: the page that is left must still hold the keyboard, or the page
        # that comes does not get it back.
        self.pages.setCurrentIndex(page)
        home = self._shelf_page if page == COLLECTION else self.explore.right
        layout = home.layout()
        if layout is not None and self.panel.parentWidget() is not home:
            layout.addWidget(self.panel)
            self.panel.show()
        listed = page in (EXPLORE, COLLECTION, HISTORY)
        listing = ("filter", "copy", "copy_captioned")
        self.actions_.enable(listing, listed, "There is no list on this page.")
        self._show_history()
        if along_the_rail:
            self.navigation.buttons[page].setFocus(Qt.FocusReason.OtherFocusReason)
        else:
            self._take_keyboard(page)

    def _take_keyboard(self, page: int) -> None:
        """Put the keyboard where a page is used; Explore remembers where it was left."""
        takes = {
            COLLECTION: self.panel.list.take_focus,
            HISTORY: self.history.list.take_focus,
            MODELS: self.models_page.take_focus,
            SETTINGS: self.settings.take_focus,
        }
        if page in takes:
            takes[page]()

    def _show_history(self) -> None:
        if self.pages.currentIndex() == HISTORY:
            review = self.engine_loop.review
            self.history.set_running(review.hunt.id if review.hunt and review.running else None)
            self.history.refresh()

    @Slot()
    def _show_tries(self) -> None:
        self.tries.show_now()

    @Slot(int)
    def _on_try_chosen(self, try_id: int) -> None:
        self.show_page(EXPLORE)
        self.explore.show_try(try_id)
        self.activateWindow()

    def _show_about(self) -> None:
        if self.about is None:  # it reads the licences of everything, which few ask for
            device = self.status.device.toolTip
            self.about = AboutDialog(self._resources, self._places, device, self)
            self.about.command_asked.connect(self.do)
        self.about.show_now()

    def _on_download_entry(self) -> None:
        self.show_page(MODELS)
        self.models_page.show_catalogue()

    def _edit_prompt(self) -> None:
        self.show_page(EXPLORE)
        self.explore.prompt.editor.setFocus()

    def _on_reopen(self, hunt_id: int) -> None:
        self.show_page(EXPLORE)
        self.explore.reopen(hunt_id)

    def _on_deleted(self, hunt_id: int, prompt: str) -> None:
        hunt = self.engine_loop.review.hunt
        if hunt is not None and hunt.id == hunt_id:
            self.engine_loop.leave()
        if self.explore.forget_prompt(prompt):
            self.status.say("Deleted for good; the prompt field is emptied too.")
        self.panel.refresh()

    # News

    @Slot(str, str)
    def _on_message(self, sentence: str, level: str) -> None:
        if level == "news":
            self.status.say(sentence)
        else:
            self.explore.say(sentence, level)

    @Slot(bool)
    def _on_running(self, running: bool) -> None:
        self.actions_.enable(("stop",), running)
        self._show_history()
        if not running:
            self.status.show_progress(None)
        if self.tries.isVisible():
            self.tries.refresh()

    @Slot(str)
    def _on_stop_words(self, words: str) -> None:
        self.actions_.by_name["stop"].setText(words)

    @Slot()
    def _on_hunt_changed(self) -> None:
        if self.tries.isVisible():
            self.tries.refresh()
        self._fold()

    @Slot()
    def _show_undo(self) -> None:
        review = self.engine_loop.review
        self.actions_.enable(("undo",), review.can_undo)
        self.actions_.enable(("redo",), review.can_redo)
        judging = ("keep", "reject", "skip", "keep_reject_rest")
        self.actions_.enable(judging, review.writable and review.hunt is not None, review.reason)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Welcome a model anywhere in the window."""
        if dropped_path(event.mimeData()) is not None:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Import a model; on its own page it is seen there, else beside the prompt."""
        path = dropped_path(event.mimeData())
        if path is not None:
            event.acceptProposedAction()
            self._import_place().import_button.chosen.emit(path)

    def _on_import_entry(self) -> None:
        self._import_place().import_button.ask(folder=True)

    def _import_place(self) -> ModelPicker | ModelsPage:
        """Bring out where an import is asked about: the Models page if it is in front."""
        if self.pages.currentIndex() == MODELS:
            return self.models_page
        self.show_page(EXPLORE)
        return self.explore.models

    # Settings

    def _show_settings(self) -> None:
        settings = self.settings_store.settings
        self.settings.set_theme(settings.theme)
        self.settings.set_text_size(settings.text_px)
        self.settings.set_threads(settings.threads)
        self.settings.set_device(settings.device)
        self.actions_.check(f"theme_{settings.theme}", True)
        self.actions_.check(f"lanes_{settings.lanes}", True)
        self._show_policy(settings.until_keep, settings.hold)
        self._on_running(False)
        self._show_undo()

    @Slot(str)
    def _set_theme(self, mode: theme.Mode) -> None:
        self.appearance.set_mode(mode)
        self.settings.set_theme(mode)
        self.actions_.check(f"theme_{mode}", True)

    @Slot(int)
    def _set_text_size(self, step: int) -> None:
        self.settings.set_text_size(self.appearance.resize_text(step))

    @Slot(bool, bool)
    def _show_policy(self, until_keep: bool, hold: bool) -> None:
        self.actions_.check("until_keep", until_keep)
        self.actions_.check("hold", hold)

    def _on_policy_entry(self) -> None:
        wanted = tuple(self.actions_.by_name[n].isChecked() for n in ("until_keep", "hold"))
        self.explore.recipe.set_policy(*wanted)
        self.explore.recipe.policy_changed.emit(*wanted)

    @Slot(int)
    def _on_lanes(self, lanes: int) -> None:
        self.actions_.check(f"lanes_{lanes}", True)
        self._fold()

    # Collection

    @Slot(int)
    def _on_collection_changed(self, collection: int) -> None:
        self.settings_store.change(collection=collection)

    @Slot(int)
    def _on_export_requested(self, collection: int) -> None:
        try:
            self.export.ask(self._library_access.collections.get(collection))
        except ExplorerError as error:
            self.status.say(str(error))

    # Size and place

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fold what does not fit."""
        super().resizeEvent(event)
        self._fold()

    def showEvent(self, event: QShowEvent) -> None:
        """Fold what does not fit, now that the panels have the widths they were left with."""
        super().showEvent(event)
        self._fold()

    def changeEvent(self, event: QEvent) -> None:
        """Be as large as another size of text needs, and fold what does not fit."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self.setMinimumSize(smallest())
            self._fold()

    def _fold(self) -> None:
        """Fold the collection and the words of the rail away where the lanes need the room."""
        if not self.isVisible():  # the panels have no widths yet
            return
        wide = self.width()
        self.navigation.set_narrow(wide < theme.wide(FOLD_RAIL))
        left, _, right = self.explore.widths()
        room = wide - self.navigation.width() - left - (right or RIGHT_WIDTH)
        folded = wide < FOLD_COLLECTION or room < self.explore.columns_want()
        if folded != self._folded:  # only when it changes, so that Ctrl+B has the last word
            self._folded = folded
            self._show_collection(not folded and self.settings_store.settings.collection_shown)

    def _show_collection(self, shown: bool) -> None:
        self.explore.right.setVisible(shown)
        self.actions_.check("collection", shown)

    def _on_collection_entry(self) -> None:
        self.show_page(EXPLORE)
        shown = self.actions_.by_name["collection"].isChecked()
        if not self._folded:  # else it is for as long as there is too little room for it
            self.settings_store.change(collection_shown=shown)
        self._show_collection(shown)

    @Slot(int, int)
    def _on_splitter_moved(self, _place: int, _index: int) -> None:
        if self.explore.right.isVisible():
            self.settings_store.change(splitter=self.explore.widths())

    def _restore_place(self) -> None:
        self.setMinimumSize(smallest())
        self.resize(USUAL.boundedTo(self.screen().availableSize()))
        saved = self.settings_store.settings.geometry
        if saved:
            self.restoreGeometry(QByteArray.fromHex(saved.encode("ascii", "replace")))

    def save(self) -> None:
        """Put on disk what would be lost with the process, and stay: settings, ends of tries."""
        self.settings_store.change(geometry=bytes(self.saveGeometry().toHex().data()).decode())
        self.settings_store.flush()
        self.engine_loop.end_all()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember the window, end what runs, and go."""
        self.save()
        self.library_work.cancel()
        self.models.model_jobs.cancel()
        self.engine_loop.shut_down()
        super().closeEvent(event)


def smallest() -> QSize:
    """Return how small the window may be for the size of its text."""
    scaled = QSize(theme.wide(SMALLEST.width()), theme.high(SMALLEST.height()))
    return scaled.boundedTo(LARGE).expandedTo(SMALLEST)
