"""A folder from somewhere, read with suspicion.

Whoever made it chose every name, size and byte in it. So names are plain, links stay inside, only
regular files are opened (a pipe would hang the program), and no JSON is parsed that could fill the
memory. Every refusal is a :class:`CheckpointError` that names the file. One sub-folder is looked
into, ``onnx``, where published models keep their exports.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from explorer.core import bounded_reading
from explorer.core.bounded_reading import JSON_MEMORY, TooLargeError, amount, read_bytes, reason_of
from explorer.core.errors import CheckpointError

SUB_FOLDER = "onnx"

_PLAIN_NAME = re.compile(rf"(?:{SUB_FOLDER}/)?[A-Za-z0-9][A-Za-z0-9._-]{{0,199}}")
_SHARD = re.compile(r"-[0-9]{5}-of-[0-9]{5}\.")
_MAX_SHOWN = 300
"""Characters of a path in a sentence."""
_BLOCK = 1 << 22
_MOST_BELOW = 1_000
"""Folders that are looked into for a model."""

# What shows that a folder holds a GPT-2, or wants to: a config or weights of any layout.
_SIGNS = (
    "config.json",
    "hparams.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model.ckpt.index",
)
# A file of one of these names or endings stands for the folder that it lies in.
_PARTS = re.compile(
    r"""(?: (?:config | generation_config | hparams | encoder | vocab | tokenizer
              | tokenizer_config | special_tokens_map | added_tokens | .*\.safetensors\.index)
            \.json
          | vocab\.(?:bpe | txt) | merges\.txt | checkpoint
          | .*\.safetensors | .*\.onnx | .*\.onnx[._]data(?:_[0-9]{1,3})? | .*\.index | .*\.meta
          | .*\.safetensors\.index\.[\w-]+\.json | .*\.data-[0-9]{5}-of-[0-9]{5} )""",
    re.IGNORECASE | re.VERBOSE,
)
# Of these, the ones that say which weights are meant. All others stand for their folder alone, as
# does the one that is taken in any case.
_DECIDING = re.compile(
    r"""(?!model\.safetensors$)
        (?: hparams\.json | checkpoint | .*\.safetensors(?:\.index(?:\.[\w-]+)?\.json)?
          | .*\.onnx(?:[._]data(?:_[0-9]{1,3})?)? | .*\.index | .*\.meta
          | .*\.data-[0-9]{5}-of-[0-9]{5} )""",
    re.IGNORECASE | re.VERBOSE,
)
_TENSORFLOW = re.compile(r"\.(?:index|meta|data-[0-9]{5}-of-[0-9]{5})$", re.IGNORECASE)
_SAVE = "save the model again with save_pretrained(..., safe_serialization=True)"
_OTHER = "choose a GPT-2 in safetensors format instead"
_PICKLE = "can run code when it is opened, so it is not read"
# Ending -> why a file is refused, and what to do.
_REFUSED = {
    (".bin", ".pt", ".pth", ".pkl", ".pickle"): (
        f"is a PyTorch file, which {_PICKLE}",
        f"take the model.safetensors of the same model, or {_SAVE}",
    ),
    (".ckpt",): (
        f"is a checkpoint of PyTorch, which {_PICKLE}, or of the first TensorFlow format",
        f"{_SAVE}, or choose the folder of OpenAI's release with its model.ckpt.index",
    ),
    (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"): (
        "is an archive",
        "unpack it and choose the folder that comes out",
    ),
    (".gguf", ".ggml"): (
        "is a model for llama.cpp, whose weights are rounded and renamed",
        "choose the model that it was made from, in safetensors format",
    ),
    (".h5", ".msgpack", ".ot", ".tflite", ".npz"): ("is in a format that is not read", _OTHER),
}

HEAD = 64
"""Bytes from the beginning of a file that :func:`instead` wants to see."""
# How files begin that often lie where another one should -> what they are, and what to do.
_OTHERS = {
    b"version https://git-lfs": (
        "is not the file but a pointer to it, as git leaves them where Git LFS is not installed; "
        "run git lfs pull in its folder, or download the file itself"
    ),
    b"<!doctype html": "is a web page; download the file itself",
    b"<html": "is a web page; download the file itself",
    b"pk\x03\x04": "is an archive or a renamed PyTorch file; take the file that it should be",
    b"\x1f\x8b": "is packed with gzip; unpack it",
    b"gguf": "is a model for llama.cpp; take the model that it was made from",
}


class Source:
    """The files of one folder; ``folder`` is its real path."""

    chosen: str
    """The file in it that a person chose and that says which weights are meant, or ``onnx/`` for
    what is in there; empty where the folder itself was chosen."""

    def __init__(self, folder: Path, chosen: str = "") -> None:
        """Find the folder; raises :class:`CheckpointError` where there is none."""
        self.chosen = chosen
        named = shorten(str(folder), _MAX_SHOWN)
        try:
            self.folder = folder.expanduser().resolve(strict=True)
            if self.folder.is_dir():
                # What may not be searched would seem to be empty. (Path would drop the dot.)
                os.stat(os.path.join(self.folder, "."))
        except PermissionError as error:
            raise CheckpointError(
                f"{named} cannot be opened ({error.strerror}); choose a folder that you may read."
            ) from error
        except (OSError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"There is no folder {named}; choose one that holds a GPT-2 (config.json, "
                "model.safetensors and a tokenizer)."
            ) from error
        if not self.folder.is_dir():
            what = "a file" if self.folder.is_file() else "neither a file nor a folder"
            raise CheckpointError(f"{named} is {what}; choose the folder that holds a GPT-2.")

    def has(self, name: str) -> bool:
        """Return whether something of this name is in the folder, whatever it is."""
        # Not Path.exists, which raises where the folder may not be searched.
        return os.path.exists(self.folder / name)

    def names(self, ending: str) -> tuple[str, ...]:
        """Return the files of this folder, then of its ``onnx``, whose plain names end so."""
        found: list[str] = []
        for prefix in ("", SUB_FOLDER + "/"):
            try:
                inside = sorted(os.listdir(self.folder / prefix))
            except OSError:
                continue
            found += (prefix + name for name in inside if name.endswith(ending))
        return tuple(name for name in found if _PLAIN_NAME.fullmatch(name))

    def path(self, name: str) -> Path:
        """Return the real path of a regular file in this folder, or in its ``onnx``.

        A link may point within the folder, or into ``blobs`` of a Hugging Face cache whose snapshot
        this folder is; anywhere else it is refused.
        """
        if not _PLAIN_NAME.fullmatch(name) and not self._is_chosen(name):
            raise CheckpointError(
                f"{shown(name)} is not a plain file name, so it could lie outside the folder."
            )
        try:
            path = (self.folder / name).resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise CheckpointError(
                f"The file {name} is missing in {self.folder}; copy it there, or download the "
                "model again."
            ) from error
        blobs = self.folder.parent.parent / "blobs"
        if path.parent not in (self.folder, self.folder / SUB_FOLDER, blobs):
            raise CheckpointError(
                f"{name} is a link that leads out of the model's folder; put the file itself there."
            )
        if not path.is_file():
            raise CheckpointError(f"{name} is not a regular file; put the file itself there.")
        return path

    def _is_chosen(self, name: str) -> bool:
        """Return whether a person chose this file, or one beside it that TensorFlow wrote with it.

        Those are called as people call them, such as ``model (1).safetensors``.
        """
        if not self.chosen or name == self.chosen:
            return bool(self.chosen)
        stem = without_part(self.chosen)
        alone = not any(separator in name for separator in ("/", "\\", "\0"))
        return alone and stem != self.chosen and without_part(name) == stem

    def content(self, name: str, limit: int) -> bytes:
        """Return a file of at most ``limit`` bytes."""
        path = self.path(name)
        try:
            data = read_bytes(path, limit)
        except TooLargeError as error:
            if other := instead(_head(path)):
                raise CheckpointError(f"{name} {other}.") from error
            raise CheckpointError(
                f"{name} is larger than the {amount(limit)} that such a file may have."
            ) from error
        except OSError as error:
            raise CheckpointError(f"{name} cannot be read ({reason_of(error)}).") from error
        if other := instead(data[:HEAD]):
            raise CheckpointError(f"{name} {other}.")
        return data

    def text(self, name: str, limit: int) -> str:
        """Return a UTF-8 file of at most ``limit`` bytes."""
        data = self.content(name, limit)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise CheckpointError(
                f"{name} is not UTF-8 text ({error}); save it as such, or download it again."
            ) from error

    def json(self, name: str, limit: int, memory: int = JSON_MEMORY) -> dict[str, Any]:
        """Return the JSON object in a file of at most ``limit`` bytes, ``memory`` once parsed."""
        return parse_json(self.text(name, limit), name, memory=memory)

    def sha256(self, name: str, progress: Callable[[int], None] | None = None) -> str:
        """Return the hex digest of a file; ``progress`` is called with the bytes of each block."""
        digest = hashlib.sha256()
        try:
            with self.path(name).open("rb", buffering=0) as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
                    if progress:
                        progress(len(block))
        except OSError as error:
            raise CheckpointError(f"{name} cannot be read ({error.strerror}).") from error
        return digest.hexdigest()


def folder_of(path: Path) -> Path:
    """Return the GPT-2 folder that a person means by ``path``, a folder or one of its files.

    For ``x/onnx``, or a file in it, that is ``x`` where the config lies there. Raises
    :class:`CheckpointError` for a file that is no part of a GPT-2, with what to do instead; whether
    the folder is there, and complete, is not looked at.
    """
    try:
        path = path.expanduser()
    except RuntimeError:  # a home that nobody has
        return path
    if os.path.isfile(path):
        _check_part(path)
        path = path.parent
    outer = path.parent
    if path.name == SUB_FOLDER and os.path.isfile(outer / "config.json"):
        return outer
    return path


def without_choice(path: Path) -> Path:
    """Return the folder instead of a file that says nothing about which weights are meant.

    Raises :class:`CheckpointError` as :func:`folder_of` does.
    """
    folder = folder_of(path)
    return path if _DECIDING.fullmatch(path.name) and os.path.isfile(path) else folder


def source_of(path: Path) -> Source:
    """Return the GPT-2 that a person means by ``path``: a folder, or a file that they chose in it.

    Raises :class:`CheckpointError` as :func:`folder_of` and :class:`Source` do.
    """
    folder = folder_of(path)
    source = Source(folder)
    with contextlib.suppress(RuntimeError):  # a home that nobody has
        path = path.expanduser()
    is_file = os.path.isfile(path)
    if (path.parent if is_file else path) != folder and any(map(_in_sub_folder, source.names(""))):
        source.chosen = SUB_FOLDER + "/"
    if is_file and _DECIDING.fullmatch(path.name):
        source.chosen += path.name
    return source


def without_part(name: str) -> str:
    """Return the name of the TensorFlow checkpoint that a file is a part of; others keep theirs."""
    return _TENSORFLOW.sub("", name)


def why_not_read(source: Source) -> str:
    """Return why a file in a folder is not read, and what to do; nothing where there is no such."""
    for endings, (reason, remedy) in _REFUSED.items():
        for ending in endings:
            if found := source.names(ending):
                return f"{found[0]} {reason}; {remedy}"
    return ""


def why_not_found(source: Source) -> str:
    """Return which files may be the weights under another name, and what to do; or nothing."""
    try:
        names = sorted(os.listdir(source.folder))
    except OSError:
        return ""
    for ending, right in ((".safetensors", "model.safetensors"), (".onnx", "model.onnx")):
        found = [name for name in names if name.lower().endswith(ending)]
        whole = [name for name in found if not _SHARD.search(name)]
        models = [name for name in whole if not name.startswith("adapter")]
        if len(models) > 1:
            return (
                f"nothing says which of {shorten(', '.join(map(repr, models)), 200)} is the model; "
                "choose that file itself"
            )
        if models:
            return (
                f"{shown(models[0])} is not looked for; choose that file itself if it holds the "
                f"model, or rename it to {right}"
            )
        if whole:
            return (
                f"{shown(whole[0])} is an adapter (LoRA), not a model; merge it into its model "
                "(merge_and_unload) and save that"
            )
        if found:
            return f"only parts such as {shown(found[0])}; copy the index that names them there too"
    return ""


def where_below(source: Source) -> str:
    """Return which folder in a folder holds the model that was meant; nothing where none does."""
    try:
        names = sorted(each.name for each in os.scandir(source.folder) if each.is_dir())
    except OSError:
        return ""
    found = [name for name in names[:_MOST_BELOW] if looks_like_model(source.folder / name)]
    if len(found) > 1:
        return f"there are models in {shorten(', '.join(map(shown, found)), 200)}; choose one"
    return f"there is a model in {shown(found[0])}; choose that folder" if found else ""


def looks_like_model(folder: Path) -> bool:
    """Return whether a folder has the config or the weights of a GPT-2, complete or not."""
    if any(os.path.isfile(folder / sign) for sign in _SIGNS):
        return True
    try:
        return bool(Source(folder).names(".onnx"))
    except CheckpointError:
        return False


def _in_sub_folder(name: str) -> bool:
    return name.startswith(SUB_FOLDER + "/") and name.endswith(".onnx")


def _check_part(path: Path) -> None:
    """Refuse a file that stands for no GPT-2 folder."""
    for endings, (reason, remedy) in _REFUSED.items():
        if path.name.lower().endswith(endings):
            if os.path.isfile(path.with_name("model.safetensors")):
                remedy = "choose the model.safetensors beside it"
            raise CheckpointError(f"{path.name} {reason}; {remedy}.")
    if not _PARTS.fullmatch(path.name):
        raise CheckpointError(
            f"{path.name} is no part of a GPT-2; choose its folder, or a file such as "
            "model.safetensors, model.onnx or model.ckpt.index."
        )


def parse_json(
    text: str,
    name: str,
    pairs: Callable[[list[tuple[str, Any]]], Any] | None = None,
    memory: int = JSON_MEMORY,
) -> dict[str, Any]:
    """Return the JSON object that ``text`` holds; ``name`` says where it came from.

    The rest is as for :func:`explorer.core.bounded_reading.parse_json`.
    """
    try:
        value = bounded_reading.parse_json(text, memory, pairs)
    except ValueError as error:
        raise CheckpointError(
            f"{name} is not readable JSON ({shorten(str(error))}); copy or download it again."
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{name} must hold a JSON object, found {shown(value)}.")
    return value


def _head(path: Path) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(HEAD)
    except OSError:
        return b""


def instead(head: bytes) -> str:
    """Return what a file is instead of what its name says, and what to do; mostly nothing."""
    begin = head.lstrip().lower()
    return next((words for magic, words in _OTHERS.items() if begin.startswith(magic)), "")


def shown(value: object) -> str:
    """Return ``repr(value)``, cut to what fits into a sentence."""
    return shorten(_REPR.repr(value))


def shorten(text: str, limit: int = 80) -> str:
    """Return ``text`` without line ends, cut with an ellipsis."""
    text = " ".join(text[: 4 * limit].split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


# The plain repr of a deeply nested list would end in a RecursionError of its own.
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 60
_REPR.maxlevel = 3
