"""What a ``tokenizer.json`` does around its merges, checked, and in one canonical form.

Normalizers change a text first, pre-tokenizers cut it, a post-processor puts tokens around it. What
is known to be harmless and to keep tokens bytes is taken over as it is; everything else is refused.
Of the tokens around a text only those in front count: a prompt is to be continued.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from explorer.core.errors import CheckpointError
from explorer.weights.formats.untrusted_folder import Source, shown

SAVE = "save the model again with a GPT-2 tokenizer"

_FOREIGN = (
    "vocab.txt",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "tekken.json",
)
"""Vocabularies of WordPiece, SentencePiece and tiktoken."""
_NORMALIZERS = ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt")
_BEHAVIORS = ("Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
_MAX_STEPS = 16
"""Steps of one kind, or tokens before a text; published tokenizers have one to three."""

_SILENT = (None, "GPT2Tokenizer", "GPT2TokenizerFast")
"""Classes of transformers that set ``add_prefix_space`` themselves; None: the class is not said."""


def refuse_another_kind(source: Source) -> None:
    """Raise :class:`CheckpointError` where a folder has a vocabulary that is not byte-level BPE."""
    for name in _FOREIGN:
        if source.has(name):
            raise CheckpointError(
                f"{source.folder} has another kind of tokenizer ({name}) than GPT-2's byte-level "
                "BPE, so its tokens cannot be shown; choose a model with a GPT-2 tokenizer."
            )


def normalizer(value: Any, file: str) -> dict[str, Any] | None:
    """Return the normalizer of a ``tokenizer.json``, None where it has none."""
    steps = [_normalizer(step, file) for step in _steps(value, "normalizers", file)]
    if len(steps) > 1:
        return {"type": "Sequence", "normalizers": steps}
    return steps[0] if steps else None


def pre_tokenizer(value: Any, file: str, settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the pre-tokenizer: ByteLevel, perhaps among others.

    ``settings`` is tokenizer_config.json, None where there is none. As in transformers, its
    ``add_prefix_space`` goes before that of a ByteLevel that stands alone, also where it is absent,
    unless it names a class other than GPT-2's.
    """
    steps = [_pre_tokenizer(step, file) for step in _steps(value, "pretokenizers", file)]
    if sum(step["type"] == "ByteLevel" for step in steps) != 1:
        raise CheckpointError(
            f"{file}: the pre_tokenizer must be ByteLevel, found {shown(value)}; {SAVE}."
        )
    if len(steps) > 1:
        return {"type": "Sequence", "pretokenizers": steps}
    if (settings or {}).get("tokenizer_class") in _SILENT:
        return byte_level(prefix_space=adds_space(settings))
    return steps[0]


def byte_level(*, prefix_space: bool, use_regex: bool = True) -> dict[str, Any]:
    """Return GPT-2's own pre-tokenizer."""
    settings = {"add_prefix_space": prefix_space, "use_regex": use_regex}
    return {"type": "ByteLevel", "trim_offsets": False, **settings}


def adds_space(settings: Mapping[str, Any] | None) -> bool:
    """Return whether tokenizer_config.json wants a space before every text that has none."""
    return bool((settings or {}).get("add_prefix_space"))


def same_but_for_space(one: str, other: str) -> bool:
    """Return whether two canonical ``tokenizer.json`` differ only in the space before a text."""
    no, yes = (_with_space(on) for on in (False, True))
    return one != other and one.replace(yes, no) == other.replace(yes, no)


def tokens_in_front(value: Any, file: str) -> list[Any]:
    """Return the ids that a post-processor puts before a single text; they are not checked yet."""
    found: list[Any] = []
    for step in _steps(value, "processors", file):
        found = [*_in_front(step, file), *found]
    if len(found) > _MAX_STEPS:
        raise CheckpointError(
            f"{file}: the post_processor puts {len(found)} tokens before a text, at most "
            f"{_MAX_STEPS} are allowed."
        )
    return found


def named_in_front(settings: Mapping[str, Any]) -> list[str]:
    """Return the name of the token that ``add_bos_token`` of tokenizer_config.json puts in front.

    transformers leaves that to the post-processor where there is a ``tokenizer.json``.
    """
    match settings.get("add_bos_token"), settings.get("bos_token", "<|endoftext|>"):
        case value, str(name) | {"content": str(name)} if value:
            return [name]
        case _:
            return []


def _with_space(on: bool) -> str:
    text = json.dumps(byte_level(prefix_space=on), separators=(",", ":"))
    return '"pre_tokenizer":' + text


def _steps(value: Any, entry: str, file: str) -> list[Any]:
    """Return the steps of a sequence, or the one that stands alone; none for null."""
    match value:
        case None:
            return []
        case {"type": "Sequence", **rest} if isinstance(steps := rest.get(entry), list):
            if len(steps) > _MAX_STEPS:
                raise CheckpointError(
                    f"{file}: {entry} has {len(steps)} steps, at most {_MAX_STEPS} are allowed."
                )
            return steps
        case _:
            return [value]


def _normalizer(value: Any, file: str) -> dict[str, Any]:
    match value:
        case {"type": str(kind)} if kind in _NORMALIZERS:
            return {"type": kind}
        case {"type": "Strip"}:
            sides = {side: value.get(side) is True for side in ("strip_left", "strip_right")}
            return {"type": "Strip", **sides}
        case _:
            raise CheckpointError(
                f"{file}: the normalizer must be null or one of {', '.join(_NORMALIZERS)}, or "
                f"several of them, found {shown(value)}; {SAVE}."
            )


def _pre_tokenizer(value: Any, file: str) -> dict[str, Any]:
    match value:
        case {"type": "ByteLevel"}:
            return byte_level(
                prefix_space=value.get("add_prefix_space") is True,
                use_regex=value.get("use_regex", True) is not False,
            )
        case {"type": "Digits"}:
            alone = value.get("individual_digits") is True
            return {"type": "Digits", "individual_digits": alone}
        case {"type": "Punctuation"} if value.get("behavior", "Isolated") in _BEHAVIORS:
            return {"type": "Punctuation", "behavior": value.get("behavior", "Isolated")}
        case _:
            raise CheckpointError(
                f"{file}: the pre_tokenizer must be ByteLevel, perhaps with Digits or Punctuation, "
                f"found {shown(value)}; {SAVE}."
            )


def _in_front(value: Any, file: str) -> list[Any]:
    match value:
        case {"type": "ByteLevel"}:
            return []
        case {"type": "BertProcessing" | "RobertaProcessing", "cls": [str(), token]}:
            return [token]
        case {"type": "TemplateProcessing", "single": list(pieces)}:
            known = value.get("special_tokens")
            found: list[Any] = []
            for piece in pieces:
                match piece, known:
                    case {"Sequence": _}, _:
                        return found
                    case {"SpecialToken": {"id": str(name)}}, dict():
                        match known.get(name):
                            case {"ids": list(ids)}:
                                found += ids
                            case _:
                                break
                    case _:
                        break
        case _:
            pass
    raise CheckpointError(
        f"{file}: the post_processor must be null, ByteLevel or a template of special tokens and "
        f"one text, found {shown(value)}; {SAVE}."
    )
