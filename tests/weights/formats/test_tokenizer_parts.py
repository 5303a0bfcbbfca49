"""What stands before a text, and what is done to it first: as transformers reads the same files.

The expected values are those that ``AutoTokenizer`` of transformers 4.57 and 5.24 gave for a GPT-2
with these files. Where the two differ, of a sequence of pre-tokenizers, the file is followed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from explorer.core.errors import CheckpointError
from explorer.weights.formats.tokenizer import TokenizerFile, read_tokenizer
from explorer.weights.formats.untrusted_folder import Source
from tests.tiny import END_OF_TEXT, write_tokenizer

END, OTHER = 298, 299
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
SPACED = {**BYTE_LEVEL, "add_prefix_space": True}
DIGITS = {"type": "Digits", "individual_digits": True}
GPT2 = {"tokenizer_class": "GPT2Tokenizer"}
TEXT = {"Sequence": {"id": "A", "type_id": 0}}


def special(name: str) -> dict[str, Any]:
    return {"SpecialToken": {"id": name, "type_id": 0}}


def template(*pieces: dict[str, Any]) -> dict[str, Any]:
    known = {
        "bos": {"id": "bos", "ids": [END], "tokens": [END_OF_TEXT]},
        "two": {"id": "two", "ids": [OTHER, END], "tokens": ["<other>", END_OF_TEXT]},
        "far": {"id": "far", "ids": [5000], "tokens": ["<far>"]},
    }
    return {"type": "TemplateProcessing", "single": pieces, "pair": [], "special_tokens": known}


def sequence(entry: str, *steps: Any) -> dict[str, Any]:
    return {"type": "Sequence", entry: list(steps)}


def write(folder: Path, settings: object = None, **entries: Any) -> Path:
    folder.mkdir(exist_ok=True)
    write_tokenizer(folder, 300, added=("<other>",))
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
    if settings is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def write_pair(folder: Path, settings: object) -> Path:
    folder.mkdir(exist_ok=True)
    write_tokenizer(folder, 300, added=("<other>",), kind="vocab.json")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def read(folder: Path) -> TokenizerFile:
    return read_tokenizer(Source(folder), 300)


def adds_space(folder: Path) -> bool:
    tokenizer = Tokenizer.from_str(read(folder).json)
    return tokenizer.decode(tokenizer.encode("The sea").ids) == " The sea"


@pytest.mark.parametrize(
    ("settings", "pre_tokenizer", "expected"),
    [
        (GPT2 | {"add_prefix_space": True}, BYTE_LEVEL, True),
        (GPT2 | {"add_prefix_space": False}, SPACED, False),
        (GPT2, SPACED, False),
        (None, SPACED, False),
        (None, BYTE_LEVEL, False),
        ({"add_prefix_space": True}, BYTE_LEVEL, True),
        ({"add_prefix_space": True}, sequence("pretokenizers", BYTE_LEVEL), True),
        ({"tokenizer_class": "GPT2TokenizerFast", "add_prefix_space": True}, BYTE_LEVEL, True),
        ({"tokenizer_class": "PreTrainedTokenizerFast"}, SPACED, True),
        ({"tokenizer_class": "TokenizersBackend"}, BYTE_LEVEL, False),
        (None, sequence("pretokenizers", DIGITS, SPACED), True),
        (GPT2 | {"add_prefix_space": True}, sequence("pretokenizers", DIGITS, BYTE_LEVEL), False),
    ],
)
def test_the_space_before_a_text(
    tmp_path: Path, settings: object, pre_tokenizer: dict, expected: bool
) -> None:
    assert adds_space(write(tmp_path, settings, pre_tokenizer=pre_tokenizer)) is expected


def test_the_space_before_a_text_of_a_pair(tmp_path: Path) -> None:
    assert adds_space(write_pair(tmp_path / "1", {"add_prefix_space": True}))
    assert not adds_space(write_pair(tmp_path / "2", {}))


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        (None, ()),
        (SPACED, ()),
        (template(TEXT), ()),
        (template(special("bos"), TEXT), (END,)),
        (template(special("bos"), TEXT, special("two")), (END,)),
        (template(special("two"), TEXT), (OTHER, END)),
        (template(special("bos"), special("two"), TEXT), (END, OTHER, END)),
        (sequence("processors", BYTE_LEVEL, template(special("bos"), TEXT)), (END,)),
        (
            sequence("processors", template(special("bos"), TEXT), template(special("two"), TEXT)),
            (OTHER, END, END),
        ),
        ({"type": "RobertaProcessing", "sep": ["</s>", 7], "cls": ["<s>", OTHER]}, (OTHER,)),
        ({"type": "BertProcessing", "sep": ["</s>", 7], "cls": ["<s>", OTHER]}, (OTHER,)),
    ],
)
@pytest.mark.parametrize("settings", [None, GPT2, GPT2 | {"add_bos_token": False}])
def test_tokens_that_a_post_processor_puts_in_front(
    tmp_path: Path, settings: object, processor: object, expected: tuple
) -> None:
    assert read(write(tmp_path, settings, post_processor=processor)).prefix_ids == expected


@pytest.mark.parametrize(
    "processor",
    [
        template(special("far"), TEXT),
        template(special("nobody"), TEXT),
        template(special("bos")),
        template(*[special("bos")] * 99, TEXT),
        template(*["x"], TEXT),
        {"type": "RobertaProcessing", "cls": ["<s>", True]},
        {"type": "RobertaProcessing", "cls": ["<s>", 300]},
        {"type": "Surprise"},
        ["ByteLevel"],
        sequence("processors", *[BYTE_LEVEL] * 99),
        sequence("processors", sequence("processors", BYTE_LEVEL)),
    ],
)
def test_what_cannot_stand_in_front_is_refused(tmp_path: Path, processor: object) -> None:
    with pytest.raises(CheckpointError, match=r"^tokenizer\.json"):
        read(write(tmp_path, post_processor=processor))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"add_bos_token": True}, (END,)),
        ({"add_bos_token": True, "bos_token": "<other>"}, (OTHER,)),
        ({"add_bos_token": True, "bos_token": {"content": "<other>", "lstrip": False}}, (OTHER,)),
        ({"add_bos_token": True, "bos_token": None}, ()),
        ({"add_bos_token": False, "bos_token": "<other>"}, ()),
        ({"add_eos_token": True}, ()),
        ({}, ()),
    ],
)
def test_add_bos_token_counts_where_there_is_no_post_processor(
    tmp_path: Path, settings: dict, expected: tuple
) -> None:
    assert read(write_pair(tmp_path / "pair", settings)).prefix_ids == expected
    assert read(write(tmp_path / "whole", settings)).prefix_ids == ()


def test_a_start_token_without_an_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has no token '<s>', which is to stand before"):
        read(write_pair(tmp_path, {"add_bos_token": True, "bos_token": "<s>"}))


@pytest.mark.parametrize(
    ("normalizer", "text", "expected"),
    [
        ({"type": "NFC"}, "e\u0301", "é"),
        (sequence("normalizers", {"type": "NFC"}), "e\u0301", "é"),
        (sequence("normalizers", {"type": "Lowercase"}, {"type": "NFC"}), "E\u0301", "é"),
        (sequence("normalizers", {"type": "NFD"}, {"type": "StripAccents"}), "é", "e"),
        ({"type": "Strip", "strip_left": True, "strip_right": False}, "  a ", "a "),
        (sequence("normalizers"), "É", "É"),
    ],
)
def test_normalizers_alone_and_in_sequence(
    tmp_path: Path, normalizer: dict, text: str, expected: str
) -> None:
    tokenizer = Tokenizer.from_str(read(write(tmp_path, normalizer=normalizer)).json)
    assert tokenizer.decode(tokenizer.encode(text).ids) == expected


def test_one_normalizer_in_a_sequence_is_the_same_tokenizer(tmp_path: Path) -> None:
    alone = write(tmp_path / "1", normalizer={"type": "NFC"})
    inside = write(tmp_path / "2", normalizer=sequence("normalizers", {"type": "NFC"}))
    assert read(alone) == read(inside)


def test_single_digits(tmp_path: Path) -> None:
    counts = []
    for steps in ([BYTE_LEVEL], [DIGITS, BYTE_LEVEL]):
        folder = write(tmp_path, pre_tokenizer=sequence("pretokenizers", *steps))
        path = folder / "tokenizer.json"
        values = json.loads(path.read_text())
        values["model"]["merges"].append("1 2")
        values["model"]["vocab"]["12"] = 300
        path.write_text(json.dumps(values))
        tokenizer = Tokenizer.from_str(read_tokenizer(Source(folder), 301).json)
        counts.append(len(tokenizer.encode("12").ids))
    assert counts == [1, 2]


@pytest.mark.parametrize(
    "pre_tokenizer",
    [
        DIGITS,
        sequence("pretokenizers", DIGITS),
        sequence("pretokenizers", BYTE_LEVEL, BYTE_LEVEL),
        sequence("pretokenizers", {"type": "WhitespaceSplit"}, BYTE_LEVEL),
        sequence("pretokenizers", {"type": "Punctuation", "behavior": "Removed"}, BYTE_LEVEL),
        sequence("pretokenizers", *[DIGITS] * 99, BYTE_LEVEL),
        None,
    ],
)
def test_other_pre_tokenizers_are_refused(tmp_path: Path, pre_tokenizer: object) -> None:
    with pytest.raises(CheckpointError, match=r"^tokenizer\.json"):
        read(write(tmp_path, pre_tokenizer=pre_tokenizer))


def test_another_kind_of_tokenizer_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").touch()
    with pytest.raises(CheckpointError, match=r"another kind of tokenizer \(vocab\.txt\)"):
        read(tmp_path)
