"""Names in a Markdown export stay text, whichever extensions somebody reads it with."""

import importlib.util
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from explorer.library.export.documents import markdown_document
from tests.library.desk import FIRST, Desk

if importlib.util.find_spec("markdown") is None:
    pytest.skip("this environment was made before it was needed", allow_module_level=True)

import markdown

EXTENSIONS = (
    ["fenced_code"],
    ["fenced_code", "attr_list"],
    ["extra"],
    ["extra", "admonition", "legacy_attrs", "legacy_em", "meta", "nl2br", "sane_lists", "smarty"],
    ["extra", "toc", "wikilinks"],
)
EVIL = [
    "{: onclick=alert(1) }", "{:onclick=alert(1)}", "{onclick=alert(1)}", "{ .class #id }", "{#id}",
    "{: ", "}", "{@onclick=alert(1)}", "{{ site }}", "{% include x %}", "%%hidden%%", "[[wiki]]",
    "[[wiki|text]]", "[^1]", "[^1]: note", "*[HTML]: Hyper", "HTML", "!!! note", "??? tip", "[TOC]",
    "<script>alert(1)</script>", "<b onclick=alert(1)>x</b>", "<!-- x -->", "<a@b.cc>", "<?x?>",
    "<https://example.com>", "https://example.com", "www.example.com", "a@example.com", "&lt;b&gt;",
    "&#60;b&#62;", "[x](javascript:alert(1))", "![x](y)", "[x]: http://e.com", "[x][x]",
    "| a | b |", "|---|---|", "$x$", "\\(x\\)", "\\[x\\]", "\\<b>", "`x`", "``", "*x*", "_x_",
    "~~x~~", "==x==",
    "^^x^^", "++x++", "--8<-- \"file\"", "{++x++}", ":smile:", "x^2^", "H~2~O", "# x",
    "===", "---", "- x", "1. x", ": x", "    x", "\\", "x {: a=b }", "\x02" + "63\x03", "wzxhzdk:0",
    "klzzwxh:0001", "'' x ''", "...", "md_in_html", "<div markdown=1>", "\u2028{: a=b }",
    "```", "~~~",
]  # fmt: skip
NAME = st.lists(
    st.one_of(st.sampled_from(EVIL), st.sampled_from([" ", "\n", "x", "a b"]), st.text(max_size=3)),
    min_size=1,
    max_size=5,
).map("".join)


class Elements(HTMLParser):
    """The elements of a page, with their attributes, and the text of its headings."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.title = ""
        self.inside = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        # A table of contents names headings by their text.
        named = [(k, v) for k, v in attributes if not (tag in ("h1", "h2") and k == "id")]
        self.found.append((tag, named))
        self.inside = tag

    def handle_data(self, data: str) -> None:
        if self.inside == "h1":
            self.title += data

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment", [(data, None)]))

    def handle_decl(self, decl: str) -> None:
        self.found.append(("decl", [(decl, None)]))

    def handle_pi(self, data: str) -> None:
        self.found.append(("pi", [(data, None)]))


def read(desk: Desk, extensions: list[str], name: str) -> Elements:
    """Return what a page is made of that comes from a document full of ``name``."""
    sample = next(iter(desk.samples.page(desk.samples.ids(FIRST))))
    model = replace(sample.hunt.model, name=name, build=name)
    sample = replace(sample, hunt=replace(sample.hunt, model=model))
    text = "".join(markdown_document([sample], name, 1, "2026-02-14T12:00:00"))
    page = Elements()
    page.feed(markdown.markdown(text, extensions=extensions))
    page.close()
    return page


@pytest.fixture
def kept(desk: Desk) -> Desk:
    """A desk with one sample whose texts are as evil as names can be."""
    evil = "\n".join(EVIL)
    desk.samples.set_note(desk.kept(desk.hunt(evil), evil), evil)
    return desk


@pytest.mark.parametrize("extensions", EXTENSIONS, ids=" ".join)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(name=NAME)
@example(name=" ".join(EVIL))
@example(name="x {: onclick=alert(1) }")
@example(name="x {: onclick=alert(1) } ")
def test_a_name_makes_no_elements_and_no_attributes(
    kept: Desk, extensions: list[str], name: str
) -> None:
    plain = read(kept, extensions, "plain")
    page = read(kept, extensions, name)
    assert page.found == plain.found
    # What the dialect does not know as escaped shows its backslash, and this one reads character
    # references all the same; nothing else is lost.
    letters = re.sub(r"\W|_", "", page.title)
    if re.fullmatch("[ -%'-~]*", name) and "smarty" not in extensions:
        assert letters == re.sub(r"\W|_", "", name)


@pytest.mark.parametrize("name", EVIL)
def test_each_alone_makes_nothing(kept: Desk, name: str) -> None:
    for extensions in EXTENSIONS:
        for text in (name, f"x {name}", f"{name} x"):
            plain = read(kept, extensions, "plain")
            assert read(kept, extensions, text).found == plain.found, extensions
