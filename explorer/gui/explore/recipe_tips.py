"""What each field of the recipe does, and what people use: two sentences for its tool tip.

The figures are those of openai/gpt-2 (``src/sample.py`` and its two scripts), of the captions that
its announcement gave, and of the documentation of the programs that are named.
"""

from __future__ import annotations

import textwrap

_COLUMNS = 64
"""Characters in a line: a tool tip of plain text has only the lines that it is given."""

TIPS = {
    "Top-k": (
        "Draws every token among the k likeliest; 0 lets any token be drawn.",
        "The samples of GPT-2’s announcement used 40, and Hugging Face’s generate takes 50 unless "
        "told otherwise.",
    ),
    "Temperature": (
        "Divides the logits before the draw: below 1 likely tokens gain, above 1 unlikely ones do, "
        "and 0 always takes the likeliest.",
        "GPT-2’s announcement used 1; Loom takes 0.9, KoboldAI 0.5.",
    ),
    "Top-p": (
        "Draws among the likeliest tokens that together have this probability; 1 is off.",
        "GPT-2’s announcement did without; KoboldAI and InferKit take 0.9.",
    ),
    "Top-p rule": (
        "The token that crosses top-p is still drawn by Hugging Face’s rule, and dropped by that "
        "of OpenAI’s sample.py.",
        "Take the rule of the program whose setting you repeat: the same number cuts more off by "
        "OpenAI’s.",
    ),
    "Max tokens": (
        "Ends a try after so many tokens, or before, where the model’s context is full.",
        "OpenAI’s script wrote half a context, 512; Loom takes 100, KoboldAI 80.",
    ),
    "End of text": (
        "Says what happens when the model ends its text: the try ends, runs on into a new text, or "
        "that token is never drawn.",
        "Most people let it end; OpenAI’s scripts ran on and were cut where the text ended.",
    ),
    "Seed": (
        "The seed and a try’s number decide every draw, so that both together repeat the try.",
        "Most people let it be drawn; a fixed one is for comparing settings or showing others.",
    ),
    "Lanes": (
        "So many tries stream side by side.",
        "Four can be read at once, as in Loom; more give more text together, each of them slower.",
    ),
    "After a keep": (
        "Says whether a try that you keep is the last one of the hunt, or its lane goes on.",
        "Stop for one good sample and what it cost, as “10 tries” said in 2019; go on to gather "
        "several.",
    ),
    "Unjudged tries": (
        "Says whether a finished try waits in its lane for your verdict, or the next one takes its "
        "place.",
        "Let them wait to read every one; let them make room to watch many go by.",
    ),
}


def tip(name: str) -> str:
    """Return the tool tip of a field, in lines."""
    return "\n".join(textwrap.fill(sentence, _COLUMNS) for sentence in TIPS[name])
