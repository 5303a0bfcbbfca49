"""Exports: the fields, their order, and texts that try to break out of their place."""

import json
import os
import re
import socket
import stat
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from explorer.core.errors import ExplorerError, InputError
from explorer.core.recipe import Recipe
from explorer.library.export import collection_file as export_module
from explorer.library.export.collection_file import SUFFIXES, chunks, export
from explorer.library.export.documents import visible
from tests.library.desk import FIRST, MODEL, Desk

NOW = "2026-02-14T12:00:00.000000Z"

EVIL = [
    "</div></section><script>alert(1)</script>",
    "<!-- ", "]]>", "&lt;b&gt; &amp; &#60;", '" onmouseover="alert(1)', "</style>", "<plaintext>",
    "```\n# heading\n```", "````````\n", "~~~\n", "\r```\r# heading\r", "\x0b```", "   ```   ",
    "[link](http://example.com)", "![x](http://example.com/x.png)", "https://example.com/",
    "# heading\n===\n---\n- item\n> quote\n    code", "1. one", "| a | b |\n|---|---|",
    "\u202eright to left", "\u2067isolated", "\u2028line\u2029paragraph\x85next",
    "\x00\x1b[31m\x7f",
    "\n\nleading and trailing\n\n", "\ttab", "\ufeff", "👩‍🚀 é", "<|endoftext|>", "\\", "`",
]  # fmt: skip
TEXT = st.lists(
    st.one_of(st.sampled_from(EVIL), st.text(st.characters(exclude_categories=("Cs",)))),
    max_size=6,
).map("".join)


def lines_of(desk: Desk, form: str) -> str:
    collection = desk.collections.get(FIRST)
    return "".join(chunks(desk.samples, collection, form, NOW))


# JSON lines


def test_json_lines_begin_with_the_four_fields_of_the_output_dataset(desk: Desk) -> None:
    hunt = desk.hunt("Once upon", Recipe(top_k=0, top_p=0.9, top_p_rule="openai"), seed=2**64 - 1)
    first = desk.kept(hunt, "a time", rejected=6, ids=(7, 256), reason="end_of_text")
    desk.kept(desk.hunt(""), "unconditional", ids=(1,))
    desk.samples.set_note(first, "nice")
    texts = lines_of(desk, "jsonl").splitlines()
    records = [json.loads(text) for text in texts]
    assert [list(each)[:4] for each in records] == [["id", "ended", "length", "text"]] * 2
    assert [list(each.values())[:4] for each in records] == [
        [0, True, 2, "a time"],
        [1, False, 1, "unconditional"],
    ]
    assert texts[0].isascii()  # as in that data set, and no line separator can split a line
    assert records[0] == {
        "id": 0,
        "ended": True,
        "length": 2,
        "text": "a time",
        "machine_written": True,
        "prompt": "Once upon",
        "tries": 7,
        "kept": 1,
        "rejected": 6,
        "skipped": 0,
        "passed_over": 0,
        "lost": 0,
        "caption": "machine-written, 7 tries (6 rejected)",
        "seed_fixed": True,
        "steered_at": None,
        "plain_tries": None,
        "prompt_tries": 7,
        "prompt_kept": 1,
        "deleted_tries": 0,
        "seed": 2**64 - 1,
        "index": 6,
        "prompt_tokens": list(b"Once upon"),
        "tokens": [7, 256],
        "end": "end_of_text",
        "recipe": json.loads(hunt.recipe.to_json()),
        "effective_top_k": 257,
        "model": {"name": "demo", "build": "cpu-int8", "fingerprint": MODEL.fingerprint},
        "device": "cpu",
        "versions": {"program": "1.0"},
        "seconds": 0.25,
        "hunt": hunt.id,
        "collection": "Kept samples",
        "note": "nice",
        "kept_at": desk.samples.get(first).kept_at,
        "exported_at": NOW,
    }


def test_ended_is_true_where_the_recipe_ran_on_behind_the_end_of_text(desk: Desk) -> None:
    desk.kept(desk.hunt(), "one<|endoftext|>two", ids=(1, 256, 2))
    (record,) = [json.loads(line) for line in lines_of(desk, "jsonl").splitlines()]
    assert (record["ended"], record["end"], record["length"]) == (True, "max_tokens", 3)


@pytest.mark.parametrize(("top_k", "effective"), [(0, 257), (40, 40), (1000, 257)])
def test_the_top_k_that_really_applied_is_recorded(desk: Desk, top_k: int, effective: int) -> None:
    desk.kept(desk.hunt("Once", Recipe(top_k=top_k)))
    (record,) = [json.loads(line) for line in lines_of(desk, "jsonl").splitlines()]
    assert (record["recipe"]["top_k"], record["effective_top_k"]) == (top_k, effective)


def test_samples_come_in_the_order_in_which_they_were_kept_over_many_pages(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "_PAGE", 3)
    hunt = desk.hunt()
    for number in range(10):
        desk.kept(hunt, f"text {number}")
    records = [json.loads(line) for line in lines_of(desk, "jsonl").splitlines()]
    assert [(each["id"], each["text"]) for each in records] == [
        (number, f"text {number}") for number in range(10)
    ]


# Texts that try to break out


class Page(HTMLParser):
    """What a browser makes of the page: its elements, and the text of those that hold text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.texts: list[str] = []
        self.inside: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attributes)))
        if tag not in ("meta", "link", "img", "br"):
            self.inside.append(tag)
        if ("class", "text") in attributes:
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.inside.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1] == "div":
            self.texts[-1] += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def read_page(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    assert page.inside == []
    return page


def fenced_blocks(text: str) -> tuple[list[str], list[str]]:
    """Return the fenced blocks of a Markdown text and the lines outside (CommonMark 4.5)."""
    blocks: list[list[str]] = []
    outside: list[str] = []
    fence = ""
    for line in re.split(r"\r\n|\n|\r", text):
        opening = re.fullmatch(r" {0,3}(`{3,}|~{3,})([^`]*)", line)
        closing = re.fullmatch(r" {0,3}(`{3,}|~{3,})[ \t]*", line)
        if not fence and opening:
            fence = opening[1]
            blocks.append([])
        elif fence and closing and closing[1][0] == fence[0] and len(closing[1]) >= len(fence):
            fence = ""
        elif fence:
            blocks[-1].append(line)
        else:
            outside.append(line)
    assert not fence
    return ["\n".join(lines) for lines in blocks], outside


def filled(desk: Desk, prompt: str, text: str, note: str, name: str) -> Desk:
    """Put one sample with these texts into an otherwise empty collection."""
    for try_id in desk.samples.ids(FIRST):
        desk.samples.remove(try_id)
    hunt = desk.hunt(prompt, seed=7)
    try_id = desk.kept(hunt, text)
    desk.samples.set_note(try_id, note)
    if name.strip():
        desk.collections.rename(FIRST, name[:200])
    return desk


SEARCH = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@SEARCH
@given(prompt=TEXT.filter(bool), text=TEXT, note=TEXT.filter(bool), name=TEXT)
@example(prompt="p", text="".join(EVIL), note="n", name="".join(EVIL)[:200])
def test_no_text_breaks_out_of_a_page(
    desk: Desk, prompt: str, text: str, note: str, name: str
) -> None:
    plain = read_page(lines_of(filled(desk, "p", "t", "n", "c"), "html"))
    page = read_page(lines_of(filled(desk, prompt, text, note, name), "html"))
    assert page.elements == plain.elements
    assert page.texts == [visible(prompt), visible(text), visible(note)]


@SEARCH
@given(prompt=TEXT.filter(bool), text=TEXT, note=TEXT.filter(bool), name=TEXT)
@example(prompt="p", text="".join(EVIL), note="n", name="".join(EVIL)[:200])
@example(
    prompt="p", text="t", note="n", name="at 12:30 :100: www.x.org a@b.c https://example.com/ $x$"
)
def test_no_text_breaks_out_of_markdown(
    desk: Desk, prompt: str, text: str, note: str, name: str
) -> None:
    _, plain = fenced_blocks(lines_of(filled(desk, "p", "t", "n", "c"), "markdown"))
    blocks, outside = fenced_blocks(lines_of(filled(desk, prompt, text, note, name), "markdown"))
    assert blocks == [visible(prompt), visible(text), visible(note)]
    title, plain_title = outside.pop(0), plain.pop(0)
    assert title.startswith("# ")
    assert plain_title == "# c"
    dated = re.compile(r"Kept: .*|On this prompt: .*|caption.*|machine.written.*|index.*")
    assert [dated.sub("", line) for line in outside] == [dated.sub("", line) for line in plain]
    # The name stands unfenced: what is not escaped in it begins nothing.
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", "", title.removeprefix("# "))
    assert not re.search(r"[\\`*_\[\]<>&#!~|@$]|://|www\.|(?<!\d):\w+:", bare)


@given(TEXT)
def test_what_is_shown_for_signs_that_cannot_be_seen_rearranges_nothing(text: str) -> None:
    shown = visible(text)
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]", shown
    )
    ordinary = "".join(sign for sign in text if sign.isprintable() or sign in "\n\t")
    assert visible(ordinary) == ordinary


def test_each_sample_reads_prompt_completion_settings_model(desk: Desk) -> None:
    hunt = desk.hunt("A man", Recipe(max_tokens=50), seed=7)
    desk.kept(hunt, "walks", rejected=1)
    desk.kept(desk.hunt(""), "alone")
    for form in ("markdown", "html"):
        text = re.sub("<[^>]*>", "", lines_of(desk, form)).replace("\\", "")
        parts = [
            "Kept samples",
            "2 samples, exported by Sample Explorer on 2026-02-14",
            "Prompt",
            "human-written",
            "A man",
            "Completion",
            "machine-written, 2 tries (1 rejected)",
            "walks",
            "k 40 · T 1.0 · at most 50 tokens · seed 7 (fixed) · index 1",
            f"demo · cpu-int8 · {MODEL.fingerprint}",
            "Prompt",
            "the model began a document of its own",
            "machine-written, first try",
            "alone",
        ]
        place = 0
        for part in parts:
            place = text.index(part, place)


def test_the_page_needs_nothing_else_and_follows_light_and_dark(desk: Desk) -> None:
    desk.kept(desk.hunt())
    text = lines_of(desk, "html")
    page = read_page(text)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "a", "base", "form"}
    assert not re.search(r"https?:|url\(|@import|src=|href=|javascript:", text)
    assert "@media (prefers-color-scheme: dark)" in text
    assert "@media print" in text
    assert "default-src 'none'" in text
    assert text.startswith("<!DOCTYPE html>\n")


# The file


@pytest.mark.parametrize("form", SUFFIXES)
def test_an_export_is_a_file_that_appears_complete(desk: Desk, tmp_path: Path, form) -> None:
    desk.kept(desk.hunt(), "line\r\nbreaks\nas they were")
    target = tmp_path / f"out{SUFFIXES[form]}"
    target.write_text("an older export")
    count = export(desk.samples, desk.collections.get(FIRST), form, target, lambda: NOW)
    assert count == 1
    assert target.read_bytes().decode() == lines_of(desk, form)
    assert not list(tmp_path.glob("*.part"))


def test_an_empty_collection_is_an_empty_export(desk: Desk, tmp_path: Path) -> None:
    for form, suffix in SUFFIXES.items():
        target = tmp_path / f"out{suffix}"
        assert export(desk.samples, desk.collections.get(FIRST), form, target) == 0
    assert (tmp_path / "out.jsonl").read_text() == ""
    assert "0 samples" in (tmp_path / "out.md").read_text()


def test_a_failure_leaves_the_older_file(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.kept(desk.hunt())
    target = tmp_path / "out.jsonl"
    target.write_text("an older export")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ExplorerError, match="No space left on device"):
        export(desk.samples, desk.collections.get(FIRST), "jsonl", target)
    assert target.read_text() == "an older export"
    assert not list(tmp_path.glob("*.part"))


def test_a_place_that_is_no_file_is_refused(desk: Desk, tmp_path: Path) -> None:
    collection = desk.collections.get(FIRST)
    for place in (tmp_path, Path(), Path("/")):
        with pytest.raises(InputError, match="folder"):
            export(desk.samples, collection, "html", place)
    for place in (tmp_path / "missing" / "out.html", tmp_path / ("x" * 300 + ".html")):
        with pytest.raises(ExplorerError, match="another place"):
            export(desk.samples, collection, "html", place)


def test_an_export_never_replaces_the_library(desk: Desk, path: Path) -> None:
    collection = desk.collections.get(FIRST)
    for place in (path, path.parent / "elsewhere" / ".." / path.name):
        (path.parent / "elsewhere").mkdir(exist_ok=True)
        with pytest.raises(InputError, match="the library itself"):
            export(desk.samples, collection, "jsonl", place)
    assert path.read_bytes().startswith(b"SQLite format 3")


def test_an_export_never_replaces_what_belongs_to_the_library(desk: Desk, path: Path) -> None:
    collection = desk.collections.get(FIRST)
    for beside in ("-wal", "-shm", ".lock"):
        place = path.with_name(path.name + beside)
        place.touch()
        with pytest.raises(InputError, match="the library itself"):
            export(desk.samples, collection, "jsonl", place)


def test_an_export_through_a_link_or_into_a_device_leaves_them(desk: Desk, tmp_path: Path) -> None:
    if os.name != "posix":
        pytest.skip("links and devices with names")
    desk.kept(desk.hunt())
    collection = desk.collections.get(FIRST)
    real, link = tmp_path / "real.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(real.name)
    assert export(desk.samples, collection, "jsonl", link, lambda: NOW) == 1
    assert link.is_symlink()
    assert real.read_text() == lines_of(desk, "jsonl")
    assert export(desk.samples, collection, "jsonl", Path("/dev/null")) == 1
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(ExplorerError, match="space"):
        export(desk.samples, collection, "jsonl", Path("/dev/full"))
    served = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(served))
        with pytest.raises(InputError, match="is a socket; name another place"):
            export(desk.samples, collection, "jsonl", served)
