"""Samples as documents for people: Markdown, and one web page that needs nothing else.

Each sample reads prompt (human-written), completion (machine-written, with its caption), settings,
model. A model writes whatever it likes, so no text may break out of its place: in Markdown it
stands in a fence longer than any run of backticks in it, in the page it is escaped, and in both,
signs that no reader sees but that rearrange or end a line (control characters, direction overrides)
are shown by name. The exact text is in the JSON lines.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from typing import Final

from explorer.library.samples import Sample

_SIGNS: Final = {
    code: f"[U+{code:04X}]"
    for code in (
        *(code for code in range(0x20) if chr(code) not in "\t\n"),
        *range(0x7F, 0xA0),
        0x061C,
        *range(0x200E, 0x2010),
        *range(0x2028, 0x202F),
        *range(0x2066, 0x206A),
        0xFEFF,
        *range(0xFFF9, 0xFFFC),
    )
}
# What begins something inside a line, with the extensions that are common: links of bare addresses,
# tables, formulas, footnotes, :names: of signs, {: attributes}, {{ templates }}, ==marks== and the
# like. By backslashes, which every dialect knows; escaping all signs would be hard to read.
_MARKUP: Final = re.compile(
    r"[\\`*_{}\[\]<>&#!~|@$^]|:(?=[^\s\d])|(?<!\d):(?=\d)|(?<=www)\."
    r"|={2,}|\+{2,}|-{2,}|'{2,}|%(?=[%}])|(?<=[%{])%",
    re.I,
)
_EXPLANATION: Final = (
    "The completions were written by a language model, the prompts by a person. “Tries” says how"
    " many completions had been shown when one was chosen among them, itself included; those passed"
    " over were shown and got no verdict. Signs that cannot be seen stand here by name, as"
    " [U+202E]."
)


def visible(text: str) -> str:
    """Return ``text`` with control and direction signs, but for tab and newline, by name."""
    return text.translate(_SIGNS)


def markdown_document(
    samples: Iterable[Sample], name: str, count: int, exported_at: str, deleted_tries: int = 0
) -> Iterator[str]:
    """Yield ``count`` samples of the collection called ``name`` as CommonMark, piece by piece."""
    yield f"# {_inline(name)}\n\n{_summary(count, exported_at, deleted_tries)}. {_EXPLANATION}\n"
    for number, sample in enumerate(samples, start=1):
        yield f"\n## Sample {number}\n"
        if sample.hunt.prompt_text:
            yield f"\n**Prompt**, human-written:\n\n{_fenced(sample.hunt.prompt_text)}"
        else:
            yield "\n**Prompt**: none, the model began a document of its own.\n"
        yield f"\n**Completion**, {sample.caption}:\n\n{_fenced(sample.text)}\n"
        yield "".join(f"- {label}: {_inline(value)}\n" for label, value in _facts(sample))
        if sample.note:
            yield f"\n**Note**, human-written:\n\n{_fenced(sample.note)}"


def html_document(
    samples: Iterable[Sample], name: str, count: int, exported_at: str, deleted_tries: int = 0
) -> Iterator[str]:
    """Yield ``count`` samples of the collection called ``name`` as one self-contained page."""
    title = _escaped(name)
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        # A second lock behind the escaping: this page runs nothing and loads nothing.
        '<meta http-equiv="Content-Security-Policy"'
        " content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n<header>\n"
        f'<h1 dir="auto">{title}</h1>\n'
        f'<p class="summary">{_summary(count, exported_at, deleted_tries)}</p>\n'
        f"<p>{_EXPLANATION}</p>\n</header>\n<main>\n"
    )
    for number, sample in enumerate(samples, start=1):
        yield f"<article>\n<h2>Sample {number}</h2>\n"
        if sample.hunt.prompt_text:
            yield _block("human", "Prompt", "human-written", sample.hunt.prompt_text)
        else:
            yield (
                '<section class="human">\n<h3>Prompt</h3>\n'
                "<p>None: the model began a document of its own.</p>\n</section>\n"
            )
        yield _block("machine", "Completion", sample.caption, sample.text)
        if sample.note:
            yield _block("note", "Note", "human-written", sample.note)
        facts = "".join(
            f"<dt>{label}</dt><dd>{_escaped(value)}</dd>\n" for label, value in _facts(sample)
        )
        yield f"<dl>\n{facts}</dl>\n</article>\n"
    yield "</main>\n</body>\n</html>\n"


def _summary(count: int, exported_at: str, deleted_tries: int) -> str:
    samples = "1 sample" if count == 1 else f"{count} samples"
    words = f"{samples}, exported by Sample Explorer on {exported_at[:10]}"
    if deleted_tries:
        deleted = "1 other try" if deleted_tries == 1 else f"{deleted_tries} other tries"
        words += f"; {deleted} of the same library had been deleted"
    return words


def _facts(sample: Sample) -> list[tuple[str, str]]:
    """Return what is said below a sample, as (label, value)."""
    hunt, attempt = sample.hunt, sample.attempt
    tokens = len(sample.tokens)
    reason = attempt.end.reason.replace("_", " ") if attempt.end else "unknown"
    if attempt.end and attempt.end.reason == "stopped" and attempt.end.cut:
        reason = "stopped by keeping"
    return [
        (
            "Settings",
            f"{hunt.recipe.describe()} · at most {hunt.recipe.max_tokens} tokens"
            f" · seed {hunt.seed}{' (fixed)' if hunt.seed_fixed else ''} · index {attempt.index}",
        ),
        (
            "On this prompt",
            f"{sample.prompt_tries} {'try' if sample.prompt_tries == 1 else 'tries'} over all hunts"
            f" · {sample.prompt_kept} kept",
        ),
        ("Model", f"{hunt.model.name} · {hunt.model.build} · {hunt.model.fingerprint}"),
        ("Length", f"{tokens} {'token' if tokens == 1 else 'tokens'} · ended by: {reason}"),
        ("Kept", f"{sample.kept_at[:16].replace('T', ' ')} UTC · {attempt.device}"),
    ]


def _fenced(text: str) -> str:
    text = visible(text)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}\n"


def _inline(text: str) -> str:
    """Return ``text`` as one line in which nothing is Markdown."""
    line = " ".join(visible(text).split())
    return _MARKUP.sub(lambda found: "".join(f"\\{sign}" for sign in found[0]), line)


def _escaped(text: str) -> str:
    return html.escape(visible(text))


def _block(role: str, heading: str, author: str, text: str) -> str:
    # Not <pre>: a parser drops a newline at its beginning.
    return (
        f'<section class="{role}">\n<h3>{heading} <span>{author}</span></h3>\n'
        f'<div class="text" dir="auto">{_escaped(text)}</div>\n</section>\n'
    )


_STYLE: Final = """\
:root {
  --back: #F6F5F1; --card: #FFFFFF; --line: #E3E0D8; --text: #1F2124; --muted: #6A6E75;
  --accent: #256D68; --human: #33508F; --kept: #2C7A4B; --kept-back: #E6F3EA;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #16171A; --card: #1E2023; --line: #303338; --text: #E7E6E1; --muted: #9BA0A8;
    --accent: #74C7BF; --human: #9DB4EA; --kept: #76C893; --kept-back: #1E3226;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 32px 16px; max-width: 760px; background: var(--back);
  color: var(--text); font: 14.5px/1.6 Inter, system-ui, sans-serif;
}
header { margin-bottom: 32px; color: var(--muted); }
h1 { margin: 0 0 4px; color: var(--text); font-size: 24px; line-height: 1.3; }
header p { margin: 4px 0; }
header .summary { color: var(--accent); }
article {
  margin: 0 0 20px; padding: 16px 20px; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px;
}
h2 { margin: 0 0 12px; font-size: 13px; color: var(--muted); font-weight: 600; }
h3 {
  display: flex; flex-wrap: wrap; gap: 2px 8px; align-items: baseline;
  margin: 14px 0 4px; font-size: 12px; font-weight: 600; color: var(--muted);
}
h3 span { font-weight: 400; }
.human h3 span { color: var(--human); }
.machine h3 span {
  padding: 0 8px; border-radius: 6px; background: var(--kept-back); color: var(--kept);
  font-weight: 600;
}
section p { margin: 0; color: var(--muted); }
.text {
  white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; tab-size: 4;
}
.human .text { color: var(--human); }
.machine .text { padding-left: 12px; border-left: 2px solid var(--line); }
dl {
  display: grid; grid-template-columns: max-content 1fr; gap: 2px 12px; margin: 16px 0 0;
  padding-top: 12px; border-top: 1px solid var(--line); font-size: 12px; color: var(--muted);
  font-variant-numeric: tabular-nums;
}
dd { margin: 0; overflow-wrap: anywhere; }
@media print {
  :root {
    --back: #FFFFFF; --card: #FFFFFF; --line: #C9C6BE; --text: #000000; --muted: #4A4D52;
    --accent: #1B504C; --human: #263C6B; --kept: #1F5A37; --kept-back: #FFFFFF;
  }
  body { max-width: none; padding: 0; font-size: 11pt; }
  article { padding: 0 0 12px; border-width: 0 0 1px; border-radius: 0; }
  h1, h2, h3 { break-after: avoid; }
  .text { orphans: 3; widows: 3; }
  dl { break-inside: avoid; }
}
"""
