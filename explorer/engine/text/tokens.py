"""Text to token ids and back.

A GPT-2 token is a string of bytes, not of characters: one emoji is several tokens, and some
completions never finish a character. So everything here goes through bytes; text that streams comes
from an incremental UTF-8 decoder that holds back what is not a complete character yet.

``<|endoftext|>`` in a text is ordinary text (``<``, ``|``, ``endof`` ...), as in OpenAI's encoder,
and so is the name of every other special token, such as the ``<|user|>`` of a fine-tuned model,
unless the caller says that they are meant as the tokens: control tokens.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import tokenizers

from explorer.core.bounded_reading import parse_json, read_text, reason_of
from explorer.core.errors import ModelError, PromptError, PromptTooLongError
from explorer.core.manifest import Manifest

END_OF_TEXT = "<|endoftext|>"
FILE_NAME = "tokenizer.json"

_LARGEST = 100_000_000
_MEMORY = 512_000_000
"""Bytes that reading the largest vocabularies, of a quarter of a million tokens, takes at most."""


class TextDecoder:
    """Bytes of tokens, fed one by one, to text: what is complete, as soon as it is.

    The pieces together, the flushed one included, are what decoding all bytes at once gives; what
    is no UTF-8 becomes U+FFFD in the same places.
    """

    def __init__(self, token_bytes: Sequence[bytes]) -> None:
        """``token_bytes`` holds the bytes of each id."""
        self._token_bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        """Return the text that became complete with ``token``; sometimes none."""
        return self._decoder.decode(self._token_bytes[token])

    def flush(self) -> str:
        """Return what was held back, as U+FFFD, and start anew."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return rest


class Tokens:
    """The vocabulary of one model."""

    vocabulary: int
    """Ids 0..vocabulary-1; those in ``holes`` have no token."""
    end_of_text: int | None
    """Id that ends a text; None where the model has no such token."""
    start_of_text: int | None
    """Id that a text without a prompt starts from; None where the model has no such token."""
    holes: frozenset[int]
    prefix_ids: tuple[int, ...]
    """Ids that stand before every prompt; mostly none."""
    adds_space: bool
    """Whether a text that does not begin with a space is given one."""
    added_names: tuple[str, ...]
    """Texts that may be found as they are, whatever the words around them."""
    has_words: bool
    """Whether a text is parted into words first, which tokens do not reach over."""

    def __init__(
        self,
        tokenizer_json: str,
        end_of_text: int | None = None,
        start_of_text: int | None = None,
        prefix_ids: Sequence[int] = (),
    ) -> None:
        """Read the text of a ``tokenizer.json``; :class:`ModelError` where it is not usable.

        ``end_of_text`` is the id that ends a text, ``<|endoftext|>`` by default; ``start_of_text``
        is the one that a text without a prompt starts from, by default the same. ``prefix_ids``
        stand before every prompt.
        """
        try:
            description = _checked(parse_json(tokenizer_json, _MEMORY))
            self._tokenizer = tokenizers.Tokenizer.from_str(json.dumps(description))
        except Exception as error:  # the library raises a bare Exception for what it cannot parse
            raise ModelError(
                f"The model's {FILE_NAME} cannot be used ({error}); import the model again."
            ) from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._lossless = description.get("normalizer") is None
        names: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        added = {token["id"] for token in description["added_tokens"]}
        self.vocabulary = max(names.values(), default=-1) + 1
        self._bytes = [b""] * self.vocabulary
        for name, token in names.items():
            self._bytes[token] = name.encode() if token in added else _bytes_of(name)
        self.holes = frozenset(range(self.vocabulary)).difference(names.values())
        self.end_of_text = names.get(END_OF_TEXT) if end_of_text is None else end_of_text
        self.start_of_text = self.end_of_text if start_of_text is None else start_of_text
        self.prefix_ids = tuple(prefix_ids)
        self.adds_space = _adds_space(description.get("pre_tokenizer"))
        self._complete = names.keys() >= _ALPHABET.keys()
        special = [token for token in description["added_tokens"] if token.get("special")]
        self._special = {token["id"]: str(token["content"]) for token in special}
        self._control = names.get(END_OF_TEXT, self.end_of_text)
        self._words: dict[str, str] = {}  # by the space before them
        self._longest = max(map(len, self._bytes), default=1)
        self.added_names = (END_OF_TEXT, *(str(a["content"]) for a in description["added_tokens"]))
        # What rewrites a text first could make an added token of other signs.
        rewrites = not self._lossless and len(self.added_names) > len(special) + 1
        self.has_words = _has_words(description.get("pre_tokenizer")) and not rewrites

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        end_of_text: int | None = None,
        start_of_text: int | None = None,
        prefix_ids: Sequence[int] = (),
    ) -> Tokens:
        """Read a model folder's ``tokenizer.json``; :class:`ModelError` where it is not usable."""
        path = folder / FILE_NAME
        try:
            text = read_text(path, _LARGEST)
        except (OSError, ValueError) as error:
            raise ModelError(
                f"{path} cannot be read ({reason_of(error)}); import the model again."
            ) from error
        return cls(text, end_of_text, start_of_text, prefix_ids)

    @classmethod
    def of_model(cls, folder: Path, manifest: Manifest) -> Tokens:
        """Read the vocabulary of a model folder, with the tokens that ``model.json`` names."""
        ends = manifest.end_of_text, manifest.start_of_text
        return cls.from_folder(folder, *ends, manifest.prefix_ids)

    def encode(self, text: str, control: bool = False) -> list[int]:
        """Return the ids of ``text``.

        With ``control`` the names of special tokens mean these tokens; ``<|endoftext|>`` means what
        ends a text in a vocabulary without a token of that name. Raises :class:`PromptError` for
        text that has no ids: half a surrogate pair, a character whose bytes the vocabulary lacks,
        ``<|endoftext|>`` where nothing ends a text.
        """
        if not control or END_OF_TEXT not in text or END_OF_TEXT in self._special.values():
            return self._encode(text, control)
        if self._control is None:
            raise PromptError(
                f"This model has no {END_OF_TEXT} token; remove it, or let it be read as letters."
            )
        first, *others = text.split(END_OF_TEXT)
        ids = self._encode(first, control)
        for part in others:
            ids += [self._control, *self._encode(part, control)]
        return ids

    def check(self, text: str) -> None:
        """Raise :class:`PromptError` for a text that has no ids, as :meth:`encode` would."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise PromptError(
                f"The text holds half a character (a lone surrogate) at position {error.start}; "
                "remove it."
            ) from error
        if self._lossless and not self._complete:
            self._check_spelling(text)

    def control_names(self, text: str) -> list[str]:
        """Return the control tokens that ``text`` names, each once, as they come.

        They are what ``control`` makes a difference for: a special token whose name is one token as
        letters too is none. Raises :class:`PromptError` as :meth:`encode` without ``control``.
        """
        names = [name for name in self._special.values() if name in text]
        if END_OF_TEXT in text and END_OF_TEXT not in self._special.values():
            return [END_OF_TEXT, *names]  # perhaps without such a token, which is refused then
        if not names or (ids := self.encode(text, control=True)) == self.encode(text):
            return []
        found = dict.fromkeys(self._special[token] for token in ids if token in self._special)
        return [name for name in found if self.encode(name) != self.encode(name, control=True)]

    def prompt(self, text: str, context: int, control: bool = False) -> list[int]:
        """Return :meth:`encode`'s ids, behind what stands before every prompt of this model.

        That is not put before a text that begins with it, nor before an empty one where it is what
        such a text starts from anyway. Refused at once is what is surely longer than ``context``:
        megabytes would take long, and a lot of memory, to become tokens that nobody can use. Raises
        :class:`PromptTooLongError`.
        """
        # A character has at least one byte; what rewrites a text makes one of four at most.
        at_least = len(text) // (self._longest if self._lossless else 4 * self._longest)
        if at_least > context:
            raise PromptTooLongError(at_least, context, at_least=True)
        ids, prefix = self.encode(text, control), list(self.prefix_ids)
        if ids[: len(prefix)] == prefix or (not ids and prefix == [self.start_of_text]):
            return ids
        return prefix + ids

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ``ids``; bytes that are no UTF-8 become U+FFFD."""
        return b"".join([self._bytes[token] for token in ids]).decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes that ``token`` stands for; empty for an id without a token."""
        return self._bytes[token]

    def word_after(self, space: str) -> str:
        """Return a word that is one token together with ``space`` before it; empty: there is none.

        It is made of ASCII letters.
        """
        if (known := self._words.get(space)) is not None:
            return known
        first = space.encode()
        rests = (b[len(first) :] for b in self._bytes if b.startswith(first))
        word = next((rest.decode() for rest in rests if rest.isalpha()), "")
        self._words[space] = word
        return word

    @property
    def special_names(self) -> tuple[str, ...]:
        """What a text can name as control tokens."""
        return tuple(self._special.values())

    @property
    def start_words(self) -> str:
        """How to name what a text without a prompt starts from; empty where nothing does."""
        return "" if self.start_of_text is None else self.decode([self.start_of_text])

    def decoder(self) -> TextDecoder:
        """Return a decoder for one text that arrives token by token."""
        return TextDecoder(self._bytes)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where each token of ``text`` lies, as (start, end) in code points.

        A token that holds only part of a character spans all of it, so spans may overlap.
        """
        ids = self.encode(text)
        # Of each byte: the character it belongs to.
        owner = [at for at, character in enumerate(text) for _ in character.encode()]
        ends = list(accumulate(len(self._bytes[token]) for token in ids))
        if (
            self.adds_space and ids and sum(ends[-1:]) == len(owner) + 1
        ):  # a space that was put there
            owner.insert(0, 0)
        if sum(ends[-1:]) != len(owner):  # a tokenizer that rewrites text first
            return list(self._tokenizer.encode(text, add_special_tokens=False).offsets)
        starts = [0, *ends][: len(ends)]
        return [(owner[a], owner[b - 1] + 1) for a, b in zip(starts, ends, strict=True)]

    def _encode(self, text: str, control: bool) -> list[int]:
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            self.check(text)  # says where
            raise
        self._tokenizer.encode_special_tokens = not control
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        # A vocabulary without all 256 bytes leaves out, silently, what it cannot spell. An added
        # token may swallow the spaces around it: those are not missing. A space in front makes up
        # for a missing byte.
        found = sum(len(self._bytes[token]) for token in ids)
        if self._lossless and not self._complete and (found < size or self.adds_space):
            self._check_spelling(text)
        return ids

    def _check_spelling(self, text: str) -> None:
        missing = next((c for c in dict.fromkeys(text) if not self._spells(c)), None)
        if missing is not None:
            raise PromptError(f"This model's vocabulary cannot spell {missing!r}; remove it.")

    def _spells(self, character: str) -> bool:
        ids = self._tokenizer.encode(character, add_special_tokens=False).ids
        return b"".join(self._bytes[token] for token in ids).endswith(character.encode())


def _checked(description: Any) -> dict[str, Any]:
    """Return the description if it is a BPE, with ``<|endoftext|>`` marked as a control token."""
    if not isinstance(description, dict) or not isinstance(description.get("model"), dict):
        raise ValueError("it describes no tokenizer")
    if description["model"].get("type", "BPE") != "BPE":
        raise ValueError(f"it is a {description['model']['type']} tokenizer, not a byte-level BPE")
    added = description.get("added_tokens") or []
    # Saved as an ordinary added token, it would be found in plain text.
    description["added_tokens"] = [
        {**token, "special": True} if token.get("content") == END_OF_TEXT else token
        for token in added
    ]
    return description


def _adds_space(pre_tokenizer: Any) -> bool:
    """Return whether a text, or each of its pieces, gets a space in front where it has none."""
    match pre_tokenizer:
        case {"type": "Sequence", "pretokenizers": list(steps)}:
            return any(map(_adds_space, steps))
        case {"type": "ByteLevel"}:
            return pre_tokenizer.get("add_prefix_space", True) is True
        case _:
            return False


def _has_words(pre_tokenizer: Any) -> bool:
    """Return whether a text is parted as GPT-2's tokenizer parts it."""
    match pre_tokenizer:
        case {"type": "ByteLevel"}:
            return pre_tokenizer.get("use_regex", True) is True
        case _:
            return False


def _byte_alphabet() -> dict[str, int]:
    """Return the byte that each character of a byte-level vocabulary stands for.

    Printable Latin-1 characters stand for themselves, the other 68 bytes for characters from U+0100
    on (openai/gpt-2, ``src/encoder.py``, ``bytes_to_unicode``).
    """
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    plain += range(ord("®"), ord("ÿ") + 1)
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(b): b for b in plain} | {chr(256 + at): b for at, b in enumerate(others)}


_ALPHABET = _byte_alphabet()


def _bytes_of(name: str) -> bytes:
    if all(character in _ALPHABET for character in name):
        return bytes(_ALPHABET[character] for character in name)
    return name.encode()
