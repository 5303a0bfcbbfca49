"""The byte-level BPE tokenizer of a GPT-2 folder, brought into one canonical form.

``tokenizer.json``, the older pair ``vocab.json`` + ``merges.txt`` and OpenAI's ``encoder.json`` +
``vocab.bpe`` say the same thing in different words. All are read into tokens, merges and added
tokens, checked, and written anew as one ``tokenizer.json``: equal tokenizers become equal text,
which a fingerprint can hash, and nothing of a stranger's file reaches the ``tokenizers`` library
unchecked. Any other kind of tokenizer is refused, because the program shows tokens as bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from tokenizers import Tokenizer, pre_tokenizers

from explorer.core.errors import CheckpointError
from explorer.weights.formats.tokenizer_parts import (
    SAVE,
    adds_space,
    byte_level,
    named_in_front,
    normalizer,
    pre_tokenizer,
    refuse_another_kind,
    tokens_in_front,
)
from explorer.weights.formats.untrusted_folder import Source, shorten, shown

END_OF_TEXT = "<|endoftext|>"

FILE_NAME = "tokenizer.json"
_PAIRS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
"""Vocabulary and merges, as Hugging Face and as OpenAI called them."""
_ADDED = "added_tokens.json"
_SPECIAL = "special_tokens_map.json"
_SETTINGS = "tokenizer_config.json"
_BESIDE = (_ADDED, _SPECIAL, _SETTINGS)
"""What transformers writes beside a pair about the tokens that were added."""
PAIR_FILES = (*_PAIRS[0], *_BESIDE)
"""All that a published tokenizer without ``tokenizer.json`` may consist of."""

_LIMIT = 32_000_000
_MEMORY = 384_000_000
"""Bytes that a JSON of that size with a million merges may take."""
_MAX_ADDED = 5_000
_MAX_TOKEN = 1_000
_MAX_MERGES = 20
"""Merges for a token of the vocabulary: GPT-2 has one, some tokenizers every way to make it."""
_MAX_SPECIAL = 16
"""Tokens of a vocabulary without merges that pass for special ones."""
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized")


class TokenizerFile(NamedTuple):
    """A checked tokenizer."""

    json: str
    """Canonical ``tokenizer.json``."""
    vocabulary: int
    """V: one more than the largest id."""
    end_of_text: int | None
    """Id of ``<|endoftext|>``."""
    holes: tuple[int, ...]
    """Ids below V that have no token, ascending."""
    controls: frozenset[int]
    """Ids that no text is made of: added tokens, and longer ones that no merge makes."""
    prefix_ids: tuple[int, ...] = ()
    """Ids that stand before every text."""


class _Parts(NamedTuple):
    """What a tokenizer consists of, whichever files it came from; nothing is checked yet."""

    file: str
    vocab: dict[str, Any]
    merges: list[Any]
    added: list[Any]
    pre_tokenizer: dict[str, Any]
    normalizer: dict[str, Any] | None = None
    prefix: Sequence[Any] = ()
    """Ids that stand before every text, or names of tokens."""
    unknown: str | None = None
    ignore_merges: bool = False
    merges_file: str = FILE_NAME


def tokenizer_files(source: Source) -> tuple[str, ...]:
    """Return the names of the files that :func:`read_tokenizer` reads, the deciding one first.

    Raises :class:`CheckpointError` where a folder has none.
    """
    if source.has(FILE_NAME):
        return (FILE_NAME, *filter(source.has, (_SETTINGS,)))
    for pair in _PAIRS:
        if all(map(source.has, pair)):
            return (*pair, *filter(source.has, _BESIDE))
    refuse_another_kind(source)
    raise CheckpointError(
        f"{source.folder} has no tokenizer: {FILE_NAME} is expected, or vocab.json together with "
        "merges.txt, or encoder.json together with vocab.bpe; copy it there from the model "
        "that was fine-tuned."
    )


def read_tokenizer(source: Source, rows: int) -> TokenizerFile:
    """Read ``tokenizer.json``, or else a pair of vocabulary and merges, of a folder.

    Raises :class:`CheckpointError` where none of them is there, one is not byte-level BPE, or a
    token has no place among the ``rows`` embedding rows of the model.
    """
    files = tokenizer_files(source)
    settings = source.json(_SETTINGS, _LIMIT, _MEMORY) if _SETTINGS in files else {}
    parts = (
        _from_tokenizer_json(source, settings)
        if files[0] == FILE_NAME
        else _from_pair(source, files, settings)
    )
    # First of all: what cannot fit is not worth the seconds that a huge vocabulary takes.
    _check_fit(parts, len(parts.vocab), rows)
    return _canonical(parts, rows)


def _from_tokenizer_json(source: Source, settings: dict[str, Any]) -> _Parts:
    file = FILE_NAME
    values = source.json(file, _LIMIT, _MEMORY)
    model = _object(values.get("model"), file, "model")
    # Files from before the entry existed hold BPE too, recognisable by their merges.
    kind = model.get("type", "BPE" if "merges" in model else None)
    if kind != "BPE":
        raise CheckpointError(
            f"{file}: model.type must be 'BPE', as GPT-2's, found {shown(kind)}; {SAVE}."
        )
    for name in ("continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model.get(name):
            raise CheckpointError(
                f"{file}: model.{name} must be empty for a byte-level tokenizer, "
                f"found {shown(model[name])}; {SAVE}."
            )
    decoder = values.get("decoder")
    if not isinstance(decoder, dict) or decoder.get("type") != "ByteLevel":
        raise CheckpointError(
            f"{file}: the decoder must be ByteLevel, found {shown(decoder)}; {SAVE}."
        )
    added = values.get("added_tokens")
    added = [] if added is None else added
    merges = model.get("merges")
    if not isinstance(added, list) or not isinstance(merges, list):
        raise CheckpointError(f"{file}: added_tokens and model.merges must be lists.")
    unknown = model.get("unk_token")
    vocab = _object(model.get("vocab"), file, "model.vocab")
    _check_merge_count(len(merges), len(vocab), file)
    return _Parts(
        file,
        vocab,
        merges,
        added,
        pre_tokenizer(values.get("pre_tokenizer"), file, settings),
        normalizer(values.get("normalizer"), file),
        tokens_in_front(values.get("post_processor"), file),
        unknown if isinstance(unknown, str) and unknown else None,
        model.get("ignore_merges") is True,
    )


def _from_pair(source: Source, files: tuple[str, ...], settings: dict[str, Any]) -> _Parts:
    vocab_file, merges_file = files[:2]
    vocab = source.json(vocab_file, _LIMIT, _MEMORY)
    text = source.text(merges_file, _LIMIT).replace("\r\n", "\n")
    _check_merge_count(text.count("\n"), len(vocab), merges_file)
    lines = [line for line in text.split("\n") if line]
    if lines and lines[0].startswith("#version"):
        del lines[0]
    # A file that was cut would pass for another tokenizer: only special tokens need no merge.
    longer = sum(len(word) > 1 for word in vocab)
    if 2 * len(lines) + _MAX_SPECIAL < longer:
        raise CheckpointError(
            f"{merges_file} has {len(lines)} merges for the {longer} longer tokens of "
            f"{vocab_file}; it is truncated or belongs to another model."
        )
    added = _added_beside(source, files, vocab, settings)
    plain = byte_level(prefix_space=adds_space(settings))
    prefix = named_in_front(settings)
    return _Parts(vocab_file, vocab, lines, added, plain, prefix=prefix, merges_file=merges_file)


def _added_beside(
    source: Source, files: tuple[str, ...], vocab: dict[str, Any], settings: dict[str, Any]
) -> list[Any]:
    """Return the added tokens of a pair, from the newest of the files that name them."""
    by_id = settings.get("added_tokens_decoder")
    if isinstance(by_id, dict) and by_id:
        _check_count(by_id, _SETTINGS)
        added = [_with_id(i, value) for i, value in by_id.items()]
        if END_OF_TEXT in vocab and all(t.get("content") != END_OF_TEXT for t in added):
            added.append(_added_token(END_OF_TEXT, vocab[END_OF_TEXT], special=True))
        return added
    ids = source.json(_ADDED, _LIMIT, _MEMORY) if _ADDED in files else {}
    _check_count(ids, _ADDED)
    special = {END_OF_TEXT}
    if _SPECIAL in files:
        for value in source.json(_SPECIAL, _LIMIT, _MEMORY).values():
            for token in value if isinstance(value, list) else [value]:
                name = token.get("content") if isinstance(token, dict) else token
                special |= {name} if isinstance(name, str) else set()
    for name in special & vocab.keys():
        ids.setdefault(name, vocab[name])  # where the two disagree, that is refused later
    return [_added_token(token, i, special=token in special) for token, i in ids.items()]


def _with_id(text: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not re.fullmatch("[0-9]{1,9}", text):
        raise CheckpointError(
            f"{_SETTINGS}: added_tokens_decoder must hold tokens by their ids, "
            f"found {shown({text: value})}."
        )
    return {**value, "id": int(text)}


def _added_token(token: str, token_id: Any, *, special: bool) -> dict[str, Any]:
    return {"id": token_id, "content": token, "special": special, **dict.fromkeys(_FLAGS, False)}


def _object(value: Any, file: str, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CheckpointError(f"{file}: {name} must be an object, found {shown(value)}.")
    return value


def _check_fit(parts: _Parts, needed: int, rows: int) -> None:
    if needed > rows:
        raise CheckpointError(
            f"{parts.file} needs {needed} embedding rows, but the model has only {rows}; "
            "they do not belong together."
        )


def _canonical(parts: _Parts, rows: int) -> TokenizerFile:
    added = _check_added(parts)
    # An added token that is in the vocabulary too keeps its id there; one that is not would get the
    # next free id from the library, whatever its file says. So all of them go into the vocabulary.
    ids = _check_vocab(parts, added)
    by_id = {i: token for token, i in ids.items()}
    if len(by_id) != len(ids):
        twice = next(token for token, i in ids.items() if by_id[i] != token)
        raise CheckpointError(
            f"{parts.file}: tokens {shown(twice)} and {shown(by_id[ids[twice]])} "
            f"have the same id {ids[twice]}."
        )
    if not ids:
        raise CheckpointError(f"{parts.file} holds no tokens.")
    vocabulary = max(by_id) + 1
    merges = _check_merges(parts, ids)
    _check_fit(parts, vocabulary, rows)
    values = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": parts.normalizer,
        "pre_tokenizer": parts.pre_tokenizer,
        "post_processor": None,
        "decoder": byte_level(prefix_space=False),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": parts.unknown if parts.unknown in ids else None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": parts.ignore_merges,
            "vocab": {by_id[i]: i for i in sorted(by_id)},
            "merges": merges,
        },
    }
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    _try(text, parts.file)
    holes = tuple(i for i in range(vocabulary) if i not in by_id)
    # A tokenizer that ignores its merges finds any token of the vocabulary in a text.
    made = set(ids) if parts.ignore_merges else {left + right for left, right in merges}
    controls = _controls(ids, added, made)
    prefix = tuple(_check_prefix(token, ids, by_id, parts.file) for token in parts.prefix)
    return TokenizerFile(text, vocabulary, ids.get(END_OF_TEXT), holes, controls, prefix)


def _check_prefix(token: Any, ids: dict[str, int], by_id: dict[int, str], file: str) -> int:
    """Return the id of a token that stands before every text, given by its id or its name."""
    found = ids.get(token) if isinstance(token, str) else token
    if isinstance(found, bool) or not isinstance(found, int) or found not in by_id:
        raise CheckpointError(
            f"{file} has no token {shown(token)}, which is to stand before every text; {SAVE}."
        )
    return found


def _controls(ids: dict[str, int], added: list[dict[str, Any]], made: set[str]) -> frozenset[int]:
    """Return the ids that no text becomes; ``made`` are the tokens that merges make."""
    unmade = {i for word, i in ids.items() if len(word) > 1 and word not in made}
    return frozenset(unmade.union(token["id"] for token in added))


def _check_count(added: Collection[Any], file: str) -> None:
    if len(added) > _MAX_ADDED:
        raise CheckpointError(
            f"{file} has {len(added)} added tokens, at most {_MAX_ADDED} are allowed."
        )


def _check_merge_count(count: int, tokens: int, file: str) -> None:
    if count > _MAX_MERGES * tokens + _MAX_ADDED:
        raise CheckpointError(
            f"{file} has {count} merges for {tokens} tokens; at most {_MAX_MERGES} for each are "
            "allowed."
        )


def _check_added(parts: _Parts) -> list[dict[str, Any]]:
    """Return the added tokens by ascending id, with exactly the entries that the library reads."""
    _check_count(parts.added, parts.file)
    tokens: list[dict[str, Any]] = []
    for value in parts.added:
        match value:
            case {"content": str(content), "id": int()} if 0 < len(content) <= _MAX_TOKEN:
                flags = {flag: value.get(flag) is True for flag in _FLAGS}
                if not parts.normalizer:
                    flags["normalized"] = False  # means nothing without a normalizer
                special = value.get("special") is True
                tokens.append({"id": value["id"], "content": content, **flags, "special": special})
            case _:
                raise CheckpointError(
                    f"{parts.file}: an added token must have an id and a text of 1 to {_MAX_TOKEN} "
                    f"characters, found {shown(value)}."
                )
    if len({token["content"] for token in tokens}) != len(tokens):
        raise CheckpointError(f"{parts.file} adds a token twice.")
    return sorted(tokens, key=lambda token: (token["id"], token["content"]))


def _check_vocab(parts: _Parts, added: list[dict[str, Any]]) -> dict[str, int]:
    ids: dict[str, int] = dict(parts.vocab)
    for token in added:
        content = token["content"]
        if ids.setdefault(content, token["id"]) != token["id"]:
            raise CheckpointError(
                f"{parts.file}: the added token {shown(content)} has id {token['id']}, "
                f"in the vocabulary it has {shown(ids[content])}."
            )
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    free = {token["content"] for token in added}
    for word, i in ids.items():
        if isinstance(i, bool) or not isinstance(i, int) or not 0 <= i < 1 << 24:
            raise CheckpointError(
                f"{parts.file}: the id of token {shown(word)} must be a whole number "
                f"from 0 to {(1 << 24) - 1}, found {shown(i)}."
            )
        if word not in free and not (0 < len(word) <= _MAX_TOKEN and alphabet.issuperset(word)):
            raise CheckpointError(
                f"{parts.file}: token {shown(word)} is not written in GPT-2's byte alphabet, "
                f"so this is another kind of tokenizer; {SAVE}."
            )
    return ids


def _check_merges(parts: _Parts, ids: dict[str, int]) -> list[list[str]]:
    merges: list[list[str]] = []
    for merge in parts.merges:
        pair: Any = merge.split(" ") if isinstance(merge, str) else merge
        match pair:
            case [str(left), str(right)] if left in ids and right in ids and left + right in ids:
                merges.append([left, right])
            case _:
                raise CheckpointError(
                    f"{parts.merges_file}: the merge {shown(merge)} must be two tokens of the "
                    "vocabulary that make a third."
                )
    return merges


def _try(text: str, file: str) -> None:
    """Let the library read the result once, so that the engine will be able to."""
    try:
        text.encode()
        Tokenizer.from_str(text)
    except UnicodeEncodeError as error:
        raise CheckpointError(f"{file} holds a lone surrogate, which is not text.") from error
    except Exception as error:  # the library raises nothing more specific
        raise CheckpointError(
            f"{file} is not a usable tokenizer ({shorten(str(error))}); {SAVE}."
        ) from error
