"""The Models page on scripted work: what it shows, what it asks for, and by which keys."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QApplication

from explorer.core.manifest import Build, Manifest
from explorer.gui.model_parts.model_jobs import ModelJobs
from explorer.gui.model_parts.model_words import ModelAdvice, Need
from explorer.gui.models.models_page import ModelsPage
from explorer.system.paths import Paths
from explorer.weights.hub.catalogue import CatalogueEntry
from explorer.weights.hub.download_preview import DownloadPreview
from tests.gui.controls_of import nameless
from tests.gui.scripted_works import Bare, ScriptedWorks
from tests.gui.settling import settle

CATALOGUE = (
    CatalogueEntry("gpt2", "openai-community/gpt2", "6" * 40, 124_439_808, 548_105_171, "MIT", "A"),
    CatalogueEntry(
        "distilgpt2", "distilbert/distilgpt2", "2" * 40, 81_912_576, 352_824_413, "Apache-2.0", "B"
    ),
)
HUB = {
    "kind": "huggingface",
    "repository": "openai-community/gpt2",
    "revision": "6" * 40,
    "licence": "MIT",
}


def manifest(name, *builds, source=None):
    hashes, size = {"model.onnx": "c" * 64}, 168_000_000
    made = {
        each: Build(each, "cpu", "int8", "f" * 64, 64, 64, bytes=size, hashes=hashes)
        for each in builds
    }
    return Manifest(
        name,
        "ab12" * 16,
        *(12, 12, 768, 1024, 50257, 50256),
        parameters=124_439_808,
        source=source or {},
        hashes={"model.safetensors": "d" * 64},
        builds=made,
    )


DEMO = Bare("demo", manifest=manifest("demo", "cpu-int8"), bundled=True, bytes_on_disk=9_000_000)
GPT2 = Bare(
    "gpt2",
    manifest=manifest("gpt2", "cpu-int8", "cpu-fp32", source=HUB),
    bytes_on_disk=1_214_000_000,
    used=0.0,
)
BROKEN = Bare("old", problem="model.json is damaged; remove the model and import it again.")


@dataclass(frozen=True)
class Found:
    part: str
    ok: bool
    words: str


@dataclass(frozen=True)
class Outcome:
    findings: tuple[Found, ...] = ()


@pytest.fixture
def works():
    return ScriptedWorks()


@pytest.fixture
def needs():
    return {"cpu-int8": Need(400_000_000, 8_000_000_000, "fits", 4)}


@pytest.fixture
def page(qtbot, tmp_path, works, needs):
    paths = replace(Paths.default(tmp_path), bundled_models=tmp_path / "bundled")
    desk = ModelJobs(paths, lambda: "cpu-int8", works.works)
    insight = ModelAdvice(
        lambda _, build: needs.get(build),
        lambda folder: {"cpu-int8": "Text as likely as with fp32"},
    )
    page = ModelsPage(desk, CATALOGUE, insight)
    qtbot.addWidget(page)
    page.resize(1150, 700)
    page.show()
    page.set_models([DEMO, GPT2, BROKEN], ("demo", "cpu-int8"))
    yield page
    desk.cancel()


def rows(page):
    return page.list.rows.rows()


def press(qtbot, widget, key=Qt.Key.Key_Space):
    """Press a key on a control that must be reachable."""
    assert widget.isVisible()
    assert widget.isEnabled()
    widget.setFocus()
    qtbot.keyClick(widget, key)


def test_every_control_has_a_name_in_every_state(page, works):
    works.leave("owner/begun")
    page._model_jobs.download("owner/other", "", "other")
    page._model_jobs.remove("old")
    for job in works.jobs:
        job.fail("No.")
    page._model_jobs._on_tick()
    page._model_jobs.verify("demo")
    page.details.ask_to_remove()
    assert len(page.tasks.cards) == 4
    assert nameless(page) == []
    page.show_catalogue()
    assert nameless(page) == []


def test_a_row_says_what_a_model_is(page):
    demo, gpt2, broken = rows(page)
    assert (demo.mark, demo.notes) == ("in use", "cpu-int8 · comes with the program")
    assert (gpt2.name, gpt2.beside, gpt2.figure) == ("gpt2", "124 M", "1.2 GB")
    assert gpt2.notes == "cpu-int8, cpu-fp32 · openai-community/gpt2 on Hugging Face · MIT"
    assert gpt2.end.startswith("used ")
    assert broken.problem == BROKEN.problem
    assert "broken: model.json is damaged" in broken.spoken
    tips = [page.list.rows.index(n).data(Qt.ItemDataRole.ToolTipRole) for n in range(3)]
    assert tips == [f"{demo.notes} · {demo.end}", f"{gpt2.notes} · {gpt2.end}", BROKEN.problem]
    assert page.amount.text() == "3 models · 1.2 GB"


def test_the_rows_are_a_sound_item_model(page):
    tester = QAbstractItemModelTester(
        page.list.rows, QAbstractItemModelTester.FailureReportingMode.Fatal
    )
    page.list.choose("gpt2")
    for models in ([DEMO, GPT2], [GPT2], [BROKEN, GPT2, DEMO], [], [GPT2]):
        page.set_models(models)
    assert page.list.current() == "gpt2"
    assert tester is not None


def test_the_choice_stays_and_passes_to_a_neighbour_when_its_model_goes(page):
    page.list.choose("gpt2")
    page.set_models([Bare("another"), DEMO, GPT2, BROKEN])
    assert page.list.current() == "gpt2"
    page.set_models([Bare("another"), DEMO, BROKEN])
    assert page.list.current() in ("demo", "old")
    assert page.details.name.text() == page.list.current()


def test_without_a_model_it_says_what_to_do(page):
    page.set_models([])
    assert page.nothing.isVisible()
    assert "Download one" in page.nothing.text()
    assert not page.details.use.isVisible()


def test_the_chosen_model_is_shown_in_full(page):
    page.list.choose("gpt2")
    facts = {name: value.text() for name, value in page.details.facts.values.items()}
    assert facts["Source"] == "openai-community/gpt2 on Hugging Face"
    assert facts["Revision"] == "6" * 40
    assert facts["Licence"] == "MIT"
    assert facts["Model fingerprint"] == "ab12ab12ab12"
    assert (facts["Context"], facts["Vocabulary"]) == ("1,024 tokens", "50,257 tokens")
    page.details.facts.copy.click()
    assert QGuiApplication.clipboard().text() == "ab12" * 16
    page.details.facts.hashes_button.click()
    assert page.details.facts.hashes.isVisible()
    assert "cpu-int8/model.onnx\n" + "c" * 64 in page.details.facts.hashes.text()


def test_a_build_says_its_size_its_quality_and_whether_it_fits(page):
    page.list.choose("gpt2")
    row = page.details.builds.rows["cpu-int8"]
    assert row.amount.text() == "168 MB"
    assert row.what.text() == "Text as likely as with fp32"
    assert row.need.text() == "✓ fits: needs 400 MB for 4 lanes, 8.0 GB free"
    assert row.use.isVisible()
    assert not row.make.isVisible()
    missing = page.details.builds.rows["cpu-int4"]
    assert missing.amount.text() == "not converted"
    assert missing.make.isVisible()
    assert not missing.need.isVisible()


@pytest.mark.parametrize(
    ("fit", "tone", "sign"),
    [("fits", "kept", "✓"), ("tight", "caution", "!"), ("too large", "rejected", "✕")],
)
def test_how_it_fits_is_a_colour_a_sign_and_words(page, needs, fit, tone, sign):
    needs["cpu-int8"] = Need(6_000_000_000, 6_400_000_000, fit, 1)
    page.list.choose("gpt2")
    need = page.details.builds.rows["cpu-int8"].need
    assert need.property("tone") == tone
    assert need.text().startswith(sign)
    assert "needs 6.0 GB for 1 lane, 6.4 GB free" in need.text()


def test_a_broken_model_says_why_and_can_only_go(page, qtbot, works):
    page.list.choose("old")
    details = page.details
    assert details.problem.text() == BROKEN.problem
    assert not any(b.isEnabled() for b in (details.use, details.verify, details.measure))
    assert not details.builds.isVisible()
    press(qtbot, details.remove)
    press(qtbot, details.question.act_button)
    assert works.asked() == [("remove", "old")]


def test_what_is_in_use_and_what_is_bundled_stays(page):
    assert page.list.current() == "demo"
    assert not page.details.remove.isEnabled()
    assert not page.details.use.isEnabled()
    assert not page.details.builds.rows["cpu-int8"].remove.isVisible()
    page.set_models([DEMO, GPT2], ("gpt2", "cpu-int8"))
    page.list.choose("gpt2")
    assert "in use" in page.details.remove.toolTip()
    assert not page.details.remove.isEnabled()
    assert page.details.builds.rows["cpu-fp32"].remove.isEnabled()


def test_enter_uses_the_chosen_model_with_the_build_that_suits(page, qtbot):
    page.list.choose("gpt2")
    with qtbot.waitSignal(page.use_asked) as asked:
        page.list.setFocus()
        qtbot.keyClick(page.list, Qt.Key.Key_Return)
    assert asked.args == ["gpt2", "cpu-int8"]
    with qtbot.waitSignal(page.use_asked) as asked:
        press(qtbot, page.details.builds.rows["cpu-fp32"].use)
    assert asked.args == ["gpt2", "cpu-fp32"]


def test_each_action_is_asked_for_by_the_keyboard(page, qtbot, works):
    page.list.choose("gpt2")
    details = page.details
    for button, asked in (
        (details.builds.rows["cpu-int4"].make, ("make", "gpt2", "cpu-int4")),
        (details.verify, ("verify", "gpt2")),
        (details.measure, ("measure", "gpt2", [])),
    ):
        press(qtbot, button)
        assert works.asked()[-1] == asked
        assert not button.isEnabled()
        assert "still going on" in button.toolTip()
        works.last.finish(Outcome())
        page._model_jobs._on_tick()
        assert button.isEnabled()


def test_removing_asks_first_says_how_much_and_has_the_harmless_answer_ready(page, qtbot, works):
    page.list.choose("gpt2")
    page.list.setFocus()
    qtbot.keyClick(page.list, Qt.Key.Key_Delete)
    details = page.details
    assert details.question.isVisible()
    assert "1.2 GB" in details.question.words.text()
    assert "cannot be undone" in details.question.words.text()
    assert details.question.spare_button.hasFocus()
    qtbot.keyClick(details.question.spare_button, Qt.Key.Key_Space)
    assert works.jobs == []
    assert details.remove.hasFocus()
    qtbot.keyClick(details.remove, Qt.Key.Key_Space)
    qtbot.keyClick(details.question.spare_button, Qt.Key.Key_Escape)
    assert not details.question.isVisible()
    assert details.remove.hasFocus()
    qtbot.keyClick(details.remove, Qt.Key.Key_Space)
    press(qtbot, details.question.act_button)
    assert works.asked() == [("remove", "gpt2")]
    assert not details.question.isVisible()
    assert page.list.hasFocus()


def test_a_question_is_not_answered_for_another_model(page, qtbot):
    page.list.choose("gpt2")
    page.details.ask_to_remove()
    page.list.choose("old")
    assert not page.details.question.isVisible()


def test_one_build_goes_and_its_question_says_that_it_can_come_back(page, qtbot, works):
    page.list.choose("gpt2")
    press(qtbot, page.details.builds.rows["cpu-fp32"].remove)
    assert "168 MB" in page.details.question.words.text()
    assert "can be converted again" in page.details.question.words.text()
    press(qtbot, page.details.question.act_button)
    assert works.asked() == [("remove_build", "gpt2", "cpu-fp32")]
    assert page.list.hasFocus()


def test_the_folder_is_shown_or_named(page, qtbot, monkeypatch, tmp_path):
    shown = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: bool(shown.append(url)))
    page.set_models([Bare("here", folder=tmp_path)])
    with qtbot.waitSignal(page.message) as message:
        press(qtbot, page.details.reveal)
    assert shown == [QUrl.fromLocalFile(str(tmp_path))]
    assert str(tmp_path) in message.args[0]


def test_what_a_check_found_stands_with_its_model(page, works):
    page.list.choose("gpt2")
    page._model_jobs.verify("gpt2")

    right = Found("source", True, "source is as recorded.")
    wrong = Found("cpu-int8", False, "cpu-int8: weights.bin has changed; make it again.")
    works.last.finish(Outcome((right, wrong)))
    page._model_jobs._on_tick()
    box = page.details._findings_column
    words = [box.itemAt(n).widget().text() for n in range(box.count())]
    assert words == [
        "✕ 1 of 2 parts are not as they should be",
        "✓ source is as recorded.",
        "✕ cpu-int8: weights.bin has changed; make it again.",
    ]
    page.list.choose("demo")
    assert not page.details._findings_box.isVisible()


def damaged(page, works, *parts):
    """Let a check of gpt2 find these builds damaged."""
    page.list.choose("gpt2")
    page._model_jobs.verify("gpt2")
    found = [Found(part, False, f"{part}: weights.bin has changed.") for part in parts]
    works.last.finish(Outcome((Found("source", True, "source is as recorded."), *found)))
    page._model_jobs._on_tick()


def test_a_damaged_build_is_marked_and_made_again_by_its_button(page, qtbot, works):
    damaged(page, works, "cpu-int8")
    row = page.details.builds.rows["cpu-int8"]
    assert (row.amount.text(), row.amount.property("tone")) == ("✕ damaged", "rejected")
    assert not row.use.isVisible()
    assert page.details.builds.rows["cpu-fp32"].amount.text() == "168 MB"
    assert row.make.text() == "Convert again"
    press(qtbot, row.make)
    assert works.asked()[-1] == ("make", "gpt2", "cpu-int8")
    works.last.finish(True)
    page._model_jobs._on_tick()
    page.set_models([DEMO, GPT2, BROKEN])
    assert (row.amount.text(), row.amount.property("tone")) == ("168 MB", "muted")
    assert row.use.isVisible()
    assert not page.details._findings_box.isVisible()  # it is another build now


def test_no_word_is_cut_where_there_is_little_width(page, qtbot, works):
    page.resize(620, 420)
    damaged(page, works, "cpu-int8")
    page.details.show_model(GPT2, "cpu-int8", ("cpu-int8", "model.onnx cannot be opened."))
    long = "Text a little less likely than with fp32 (+0.7 % bits per byte, KL 0.026; measured)"
    page.details._insight = ModelAdvice(page.details._insight.need, lambda _: {"cpu-int8": long})
    page.details._show_findings()
    row = page.details.builds.rows["cpu-int8"]
    assert row.use.isVisible()
    assert row.make.isVisible()
    area = page.details._area
    qtbot.waitUntil(lambda: area.widget().width() <= area.viewport().width())
    assert row.make.geometry().top() >= 0
    qtbot.waitUntil(lambda: row.what.width() > 130)

    def whole(each):
        return each.height() >= each.heightForWidth(each.width())

    qtbot.waitUntil(lambda: whole(row.what) and whole(row.need))


def test_a_high_window_does_not_draw_the_builds_apart(page, qtbot):
    page.list.choose("gpt2")
    builds = page.details.builds
    page.resize(1150, 700)
    settle(page)
    before = builds.height()
    page.resize(1150, 1400)
    settle(page)
    assert builds.height() == before


def test_what_was_found_of_a_model_goes_with_it(page, works):
    damaged(page, works, "cpu-int8")
    page._model_jobs._released = lambda *_: True
    page._model_jobs.remove("gpt2")
    works.last.finish()
    page._model_jobs._on_tick()
    page.set_models([DEMO, GPT2])  # another one of that name has been imported
    page.list.choose("gpt2")
    assert not page.details._findings_box.isVisible()
    assert page.details.builds.rows["cpu-int8"].use.isVisible()


def test_a_build_whose_files_are_gone_is_marked_without_a_check(page):
    class Gone(Bare):
        def has(self, build):
            return build != "cpu-fp32"

    page.set_models([Gone("gpt2", manifest=GPT2.manifest)])
    assert rows(page)[0].notes.startswith("cpu-int8, cpu-fp32 ✕ damaged · ")
    row = page.details.builds.rows["cpu-fp32"]
    assert row.amount.text() == "✕ damaged"
    assert row.make.text() == "Convert again"
    assert page.details.builds.rows["cpu-int8"].use.isVisible()


def test_the_keyboard_follows_a_check_to_its_card_and_comes_back(page, qtbot, works):
    page.list.choose("gpt2")
    press(qtbot, page.details.verify)
    works.leave("owner/begun")
    page.show_tasks()
    assert page.tasks.cards["verify gpt2"].cancel.hasFocus()
    works.last.finish(Outcome((Found("source", True, "source is as recorded."),)))
    page._model_jobs._on_tick()
    assert page.details.verify.hasFocus()


@pytest.mark.parametrize(
    ("ok", "said"), [(True, "it is as it should be."), (False, "it is damaged in 1 place.")]
)
def test_the_outcome_of_a_check_is_said_and_scrolled_to(page, qtbot, works, ok, said):
    page.resize(620, 420)
    page.list.choose("gpt2")
    page._model_jobs.verify("gpt2")
    settle(page)
    with qtbot.waitSignal(page.message) as message:
        works.last.finish(Outcome((Found("source", ok, "source is so."),)))
        page._model_jobs._on_tick()
    assert message.args == [f"gpt2 was verified: {said}"]
    qtbot.waitUntil(lambda: not page.details._findings_box.visibleRegion().isEmpty())


# Tasks


def card(page, number=0):
    return list(page.tasks.cards.values())[number]


def test_a_download_is_one_card_with_bar_words_pause_and_cancel(page, qtbot, works):
    page._model_jobs.download("openai-community/gpt2", "", "gpt2")
    works.last.say(0.75, "412 of 548 MB, 12.3 MB/s, 11 s left")
    page._model_jobs._on_tick()
    (only,) = page.tasks.cards.values()
    assert only.title.text() == "Downloading gpt2"
    assert only.words.text() == "412 of 548 MB, 12.3 MB/s, 11 s left"
    assert only.bar.value() == 750
    works.leave("openai-community/gpt2")
    press(qtbot, only.pause)
    assert works.jobs[0].cancelled
    assert card(page).words.text() == "412 MB of 548 MB are here."
    press(qtbot, card(page).resume)
    assert works.asked()[-1][0] == "download"
    count = len(works.asked())
    press(qtbot, card(page).cancel)
    assert card(page).words.text().startswith("Delete what has arrived?")
    assert card(page).keep.hasFocus()  # a second Enter must not delete
    works.last.say(0.8, "440 of 548 MB, 12.3 MB/s, 9 s left")  # it goes on meanwhile
    page._model_jobs._on_tick()
    assert card(page).words.text().startswith("Delete what has arrived?")
    assert not card(page).cancel.isVisible()
    press(qtbot, card(page).keep)
    assert card(page).words.text() == "440 of 548 MB, 12.3 MB/s, 9 s left"
    assert len(works.asked()) == count
    press(qtbot, card(page).cancel)
    press(qtbot, card(page).delete)
    assert works.asked()[-1] == ("discard", "openai-community/gpt2")


def test_a_question_about_a_download_goes_when_the_download_fails(page, qtbot, works):
    page._model_jobs.download("openai-community/gpt2", "", "gpt2")
    press(qtbot, card(page).cancel)
    works.leave("openai-community/gpt2")
    works.last.fail("The hub does not answer.")
    page._model_jobs._on_tick()
    assert card(page).words.text() == "The hub does not answer."
    assert card(page).resume.isVisible()
    assert not card(page).delete.isVisible()
    press(qtbot, card(page).discard)
    press(qtbot, card(page).delete)
    assert works.asked()[-1] == ("discard", "openai-community/gpt2")


def test_an_unfinished_download_waits_while_something_else_goes_on(page, works):
    works.leave("openai-community/gpt2")
    page.show_tasks()
    assert card(page).resume.isEnabled()
    page._model_jobs.verify("demo")
    unfinished = page.tasks.cards["download openai-community/gpt2"]
    assert not unfinished.resume.isEnabled()
    assert "Verifying demo" in unfinished.resume.toolTip()


def test_a_failed_download_says_why_and_can_go_on_from_its_card(page, qtbot, works):
    page._model_jobs.download("openai-community/gpt2", "", "gpt2")
    works.leave("openai-community/gpt2")
    works.last.fail("The hub does not answer.")
    page._model_jobs._on_tick()
    (failed,) = page.tasks.cards.values()
    assert failed.title.text() == "✕ Downloading gpt2 failed"
    assert failed.words.text() == "The hub does not answer."
    assert not failed.bar.isVisible()
    press(qtbot, failed.resume)
    assert works.asked()[-1][:2] == ("download", "openai-community/gpt2")
    assert card(page).pause.hasFocus()


def test_the_tab_key_goes_from_the_list_to_the_tasks(page, qtbot, works):
    works.leave("openai-community/gpt2")
    page.show_tasks()
    page.list.setFocus()
    for button in (card(page).resume, card(page).discard):
        qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
        assert button.hasFocus()


def test_a_failure_goes_when_it_is_dismissed(page, qtbot, works):
    page._model_jobs.convert("gpt2", "cpu-int4")
    works.last.fail("No space is left.")
    page._model_jobs._on_tick()
    press(qtbot, card(page).dismiss)
    assert page.tasks.cards == {}
    assert not page.tasks.isVisible()


@pytest.mark.parametrize("choosing", [False, True])
def test_a_model_that_arrives_is_shown_unless_another_one_is_being_chosen(page, works, choosing):
    page._model_jobs.listed.connect(lambda: page.set_models([DEMO, GPT2, Bare("new")]))
    if choosing:
        page.show_catalogue()
    page._model_jobs._has_opened = True
    page._model_jobs.download("owner/new", "", "new")
    works.last.finish(Bare("new"))
    page._model_jobs._on_tick()
    assert page.catalogue.isVisible() is choosing
    assert page.details.name.text() == ("demo" if choosing else "new")


def test_many_cards_leave_the_list_its_room_and_can_be_scrolled_to(page, qtbot, works):
    height = page.window().minimumSizeHint().height()
    for n in range(12):
        works.leave(f"owner/model-{n}")
    page.show_tasks()
    settle(page)
    assert page.window().minimumSizeHint().height() <= height + 140
    assert page.list.height() > 150
    last = card(page, 11).discard
    assert last.visibleRegion().isEmpty()
    card(page, 11).resume.setFocus()
    qtbot.keyClick(card(page, 11).resume, Qt.Key.Key_Tab)
    assert last.hasFocus()
    assert not last.visibleRegion().isEmpty()


def test_the_room_of_a_card_that_goes_is_the_lists_again(page, qtbot, works):
    works.leave("owner/one")
    page.show_tasks()
    settle(page)
    alone = page.list.height()
    page._model_jobs.convert("gpt2", "cpu-int4")
    works.last.fail("No space is left. " * 80)
    page._model_jobs._on_tick()
    settle(page)
    failed = page.tasks.cards["convert gpt2"]
    assert failed.words.height() > 3 * failed.words.fontMetrics().lineSpacing()
    failed.dismiss.click()
    settle(page)
    assert page.list.height() == alone


def test_only_the_last_question_to_the_hub_is_kept_with_its_failure(page, works):
    for name in ("owner/one", "owner/two"):
        page._model_jobs.look(name)
        works.last.fail("There is no such repository.")
        page._model_jobs._on_tick()
    (only,) = page.tasks.cards.values()
    assert only.title.text() == "✕ Asking about owner/two failed"


def test_the_keyboard_goes_to_the_task_that_begins_and_back_to_the_list(page, qtbot, works):
    page._model_jobs.convert("gpt2", "cpu-int4")
    works.last.fail("No space is left.")
    page._model_jobs._on_tick()
    page.show_catalogue()
    page.catalogue.list.choose("distilbert/distilgpt2")
    press(qtbot, page.catalogue.download)
    download = page.tasks.cards["download distilbert/distilgpt2"]
    assert download.pause.hasFocus()
    qtbot.keyClick(page.catalogue, Qt.Key.Key_Escape)
    press(qtbot, download.cancel)
    press(qtbot, download.delete)
    works.last.finish()
    page._model_jobs._on_tick()
    assert page.list.hasFocus()  # and not the card of the failure, which is next
    press(qtbot, card(page).dismiss)
    assert page.list.hasFocus()


# The catalogue


def test_the_catalogue_says_what_will_be_fetched_before_anything_is(page, qtbot, works):
    press(qtbot, page.download_button)
    panel = page.catalogue
    assert panel.isVisible()
    assert panel.list.hasFocus()
    assert [row.name for row in panel.list.rows.rows()] == ["gpt2", "distilgpt2"]
    assert [row.mark for row in panel.list.rows.rows()] == ["installed", ""]
    qtbot.keyClick(panel.list, Qt.Key.Key_Down)
    words = panel.summary.text()
    assert "353 MB from huggingface.co, revision 22222222" in words
    assert "Apache-2.0" in words
    assert works.jobs == []
    qtbot.keyClick(panel.list, Qt.Key.Key_Return)
    assert panel.download.hasFocus()
    qtbot.keyClick(panel.download, Qt.Key.Key_Space)
    asked = ("download", "distilbert/distilgpt2", "2" * 40, "distilgpt2", "cpu-int8")
    assert works.asked() == [asked]
    assert not panel.download.isEnabled()
    assert card(page).pause.hasFocus()


def test_the_rows_of_the_catalogue_keep_the_first_one_chosen(page):
    page.show_catalogue()
    assert page.catalogue.list.current() == "openai-community/gpt2"
    assert page.catalogue.list.selectionModel().hasSelection()


def test_a_mirror_is_named(page, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example.org/models")
    page.show_catalogue()
    page.catalogue.list.choose("distilbert/distilgpt2")
    assert "from hub.example.org" in page.catalogue.summary.text()


def test_a_repository_by_hand_is_looked_up_first(page, qtbot, works):
    page.show_catalogue()
    panel = page.catalogue
    panel.repository.setFocus()
    panel.repository.selectAll()
    qtbot.keyClicks(panel.repository, "someone/poems")
    assert panel.revision.text() == ""
    assert panel.download.text() == "Look it up"
    qtbot.keyClick(panel.repository, Qt.Key.Key_Return)
    assert works.asked() == [("look", "someone/poems", "")]
    works.last.finish(DownloadPreview("someone/poems", "e" * 40, "", 4, 1_500_000_000))
    page._model_jobs._on_tick()
    assert "Fetches 4 files, 1.5 GB, from huggingface.co" in panel.summary.text()
    assert "not stated" in panel.summary.text()
    assert panel.download.hasFocus()
    qtbot.keyClick(panel.download, Qt.Key.Key_Space)
    assert works.asked()[-1] == ("download", "someone/poems", "e" * 40, None, "cpu-int8")


def found(page, repository, revision):
    page._model_jobs.looked.emit(DownloadPreview(repository, revision, "mit", 4, 93_000_000))


def test_another_repository_is_not_asked_for_at_the_commit_of_the_one_before(page, qtbot, works):
    page.show_catalogue()
    panel = page.catalogue
    panel.repository.clear()
    qtbot.keyClicks(panel.repository, "owner/one")
    found(page, "owner/one", "c" * 40)
    assert panel.revision.text() == panel.revision.toolTip() == "c" * 40
    panel.repository.clear()
    qtbot.keyClicks(panel.repository, "owner/two")
    assert panel.revision.text() == ""
    qtbot.keyClicks(panel.revision, "v2")  # what a person typed stays
    qtbot.keyClick(panel.repository, Qt.Key.Key_Backspace)
    qtbot.keyClick(panel.repository, Qt.Key.Key_Return)
    assert works.asked() == [("look", "owner/tw", "v2")]


def test_the_catalogue_shows_where_the_keyboard_is_when_it_comes_back(page, qtbot):
    page.show_catalogue()
    panel = page.catalogue
    panel.repository.clear()
    qtbot.keyClicks(panel.repository, "owner/one")
    qtbot.keyClick(panel.repository, Qt.Key.Key_Escape)
    page.show_catalogue()
    assert panel.repository.hasFocus()  # no row is current, so that the list would show nothing
    page.take_focus()
    assert panel.repository.hasFocus()
    panel.list.choose("distilbert/distilgpt2")
    page.take_focus()
    assert panel.list.hasFocus()


def test_what_is_installed_is_not_offered_once_more(page, qtbot, works):
    page.show_catalogue()
    panel = page.catalogue
    assert panel.list.current() == "openai-community/gpt2"
    assert panel.summary.text().startswith("It is installed, as gpt2.")
    assert not panel.download.isEnabled()
    qtbot.keyClick(panel.repository, Qt.Key.Key_Return)
    assert works.jobs == []
    panel.repository.clear()
    qtbot.keyClicks(panel.repository, "openai-community/gpt2")
    qtbot.keyClicks(panel.revision, "7" * 40)
    found(page, "openai-community/gpt2", "7" * 40)
    assert "Fetches 4 files" in panel.summary.text()
    press(qtbot, panel.download)
    # Another commit, so not under the name of the one in the catalogue.
    assert works.asked() == [("download", "openai-community/gpt2", "7" * 40, None, "cpu-int8")]


def test_a_name_that_is_taken_keeps_nobody_from_a_download(page, qtbot, works):
    page.set_models([DEMO, Bare("Distilgpt2", manifest=manifest("Distilgpt2", "cpu-int8"))])
    page.show_catalogue()
    page.catalogue.list.choose("distilbert/distilgpt2")
    press(qtbot, page.catalogue.download)
    assert works.asked()[0][:4] == ("download", "distilbert/distilgpt2", "2" * 40, None)


def test_nothing_moves_when_a_download_begins(page, qtbot, works):
    page.show_catalogue()
    panel = page.catalogue
    panel.list.choose("distilbert/distilgpt2")
    settle(page)
    before = panel.repository.mapTo(panel, panel.repository.pos())
    press(qtbot, panel.download)
    settle(page)
    assert "one thing at a time" in panel.summary.text()
    assert panel.repository.mapTo(panel, panel.repository.pos()) == before


def test_escape_leaves_the_catalogue(page, qtbot):
    page.show_catalogue()
    qtbot.keyClick(page.catalogue.list, Qt.Key.Key_Escape)
    assert page.details.isVisible()
    assert page.download_button.hasFocus()
    assert not page.download_button.isChecked()


def test_an_import_asks_for_a_folder_or_a_file(page, works, tmp_path, qtbot):
    (tmp_path / "config.json").touch()
    with qtbot.waitSignal(page.import_asked) as asked:
        page.import_button.chosen.emit(Path(tmp_path / "config.json"))
    page._model_jobs.import_folder(*asked.args)
    assert works.asked() == [("bring_in", tmp_path, None, "cpu-int8")]
    assert not page.import_button.isEnabled()
    assert QApplication.focusWidget() is not None


def test_the_card_of_those_who_made_a_model_is_one_press_away(page, qtbot, tmp_path, monkeypatch):
    assert not page.details.facts.card.isVisible()
    (tmp_path / "README.md").touch()
    page.set_models([replace(DEMO, source=tmp_path)], ("demo", "cpu-int8"))
    said, opened = [], []
    page.message.connect(said.append)
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url) or False)
    press(qtbot, page.details.facts.card)
    assert opened == [QUrl.fromLocalFile(str(tmp_path / "README.md"))]
    assert str(tmp_path) in said[-1]
