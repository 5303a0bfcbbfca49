"""Somebody's GPT-2 folder as named tensors: checked first, then read one tensor at a time.

Tensors go by the names of Hugging Face's GPT-2 without prefix (``wte.weight``, ``h.0.ln_1.bias``),
matrices as ``[in, out]``, always as float32. Opening a folder checks config, tokenizer and the
headers of the weights against one another; reading a tensor checks that its numbers are finite and
takes its hash on the way, so that a fingerprint costs no second pass.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from explorer.core.bounded_reading import read_text
from explorer.core.errors import CheckpointError
from explorer.core.manifest import Manifest
from explorer.weights.checkpoints.layouts import Kind, kind_of, weight_files
from explorer.weights.checkpoints.layouts import source_files as source_files
from explorer.weights.checkpoints.openai import open_release, read_hparams
from explorer.weights.checkpoints.special_tokens import end_token, start_token
from explorer.weights.formats.config import Config, read_config
from explorer.weights.formats.safetensors import SafetensorsFile
from explorer.weights.formats.safetensors_choice import INDEX
from explorer.weights.formats.tensor_file import TensorFile
from explorer.weights.formats.tokenizer import FILE_NAME as TOKENIZER_FILE
from explorer.weights.formats.tokenizer import TokenizerFile, read_tokenizer
from explorer.weights.formats.tokenizer_parts import same_but_for_space
from explorer.weights.formats.untrusted_folder import Source, shown

HEAD = "lm_head.weight"
EMBEDDING = "wte.weight"

# What torch.compile, data-parallel training and TRL put in front of a model's names, and what
# transformers does.
_PREFIX = re.compile(r"(?:_orig_mod\.|module\.|pretrained_model\.)*(?:transformer\.)?")
_CHUNK = 1 << 22
"""Numbers compared or checked at a time."""
_LARGEST = np.float32(1e9)
"""No training gives a weight of this size; one flipped bit of an exponent does."""
BLOCK_ROWS = 128
"""What the rows of a block are a multiple of, as the weights that share a scale may be."""
_BLOCK = 1 << 22
"""Bytes of a block, about: they stay in the cache while they are checked, hashed and converted."""


def open_checkpoint(folder: Path | Source) -> Checkpoint:
    """Open a GPT-2 folder, whichever layout it has, or what was chosen in one.

    Raises :class:`CheckpointError`, with the name of what is wrong, what was found and what is
    expected, for anything that is not a complete plain GPT-2.
    """
    source = folder if isinstance(folder, Source) else Source(folder)
    kind = kind_of(source)
    config = read_hparams(source) if kind == "openai" else read_config(source)
    tokenizer = read_tokenizer(source, config.rows)
    files = _open_weights(source, kind, config)
    try:
        return Checkpoint(source, config, tokenizer, files, kind)
    except BaseException:
        for file in files:
            file.close()
        raise


class Checkpoint:
    """An open GPT-2 folder; close it when done."""

    def __init__(
        self,
        source: Source,
        config: Config,
        tokenizer: TokenizerFile,
        files: list[TensorFile],
        kind: Kind = "huggingface",
    ) -> None:
        """Match the tensors of ``files`` with what ``config`` asks for."""
        self.kind = kind
        self.source = source
        self.config = config
        self.tokenizer = tokenizer
        self.end_of_text = end_token(config, tokenizer)
        """Id that ends a text."""
        self.prefix_ids = tokenizer.prefix_ids
        """Ids that stand before every prompt."""
        self.start_of_text = (
            self.prefix_ids[-1] if self.prefix_ids else start_token(config, tokenizer)
        )
        """Id that a text without a prompt starts from."""
        self._files = files
        self._digests: dict[str, str] = {}
        self._places = _find(files, config)
        self.tied = HEAD not in self._places or self._same_rows(EMBEDDING, HEAD)
        """Whether the head is the token embedding."""
        if self.tied:
            self._places.pop(HEAD, None)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all tensors, in the order of the layers."""
        return tuple(self._places)

    @property
    def parameters(self) -> int:
        """Numbers in all tensors, embedding rows without a token included."""
        shapes = expected_shapes(self.config)
        return sum(int(np.prod(shapes[name], dtype=np.int64)) for name in self._places)

    def read(self, name: str) -> NDArray[np.float32]:
        """Return a tensor as fresh float32; of embedding and head only the V rows that have an id.

        Raises :class:`CheckpointError` where a number is infinite, not a number, or far too large.
        """
        name = self._stored(name)
        file, stored_name = self._places[name]
        rows = self.tokenizer.vocabulary if name in (EMBEDDING, HEAD) else None
        values = file.read(stored_name, stop=rows)
        _check_numbers(values, stored_name, file.name)
        if name not in self._digests:
            self._digests[name] = hashlib.sha256(values.data).hexdigest()
        return values

    def blocks(self, name: str) -> Iterator[NDArray[np.float32]]:
        """Yield what :meth:`read` returns in parts of some megabytes, in order.

        Each is a number of whole rows of the first axis, but for the last one a multiple of
        :data:`BLOCK_ROWS`. The tensor's hash is taken when the last one has been asked for.
        """
        name = self._stored(name)
        file, stored_name = self._places[name]
        shape = file.tensors[stored_name].shape
        rows = self.tokenizer.vocabulary if name in (EMBEDDING, HEAD) else shape[0]
        step = max(1, _BLOCK // (4 * BLOCK_ROWS * math.prod(shape[1:]))) * BLOCK_ROWS
        digest = None if name in self._digests else hashlib.sha256()
        for start in range(0, rows, step):
            values = file.read(stored_name, start, min(start + step, rows))
            _check_numbers(values, stored_name, file.name, start)
            if digest is not None:
                digest.update(values.data)
            yield values
        if digest is not None:
            self._digests[name] = digest.hexdigest()

    def _stored(self, name: str) -> str:
        """Return the tensor that is meant: a model without a head of its own has the embedding."""
        return EMBEDDING if self.tied and name == HEAD else name

    def follow(self, manifest: Manifest, folder: Path | None = None) -> None:
        """Let texts begin, end and start at the tokens that a model folder made of this was given.

        Where ``folder`` is that folder, a space before texts is as in its ``tokenizer.json`` too.
        Earlier versions chose by other rules, and what a folder does must stay what it was: its
        samples name its fingerprint, which these tokens are part of.
        """
        end, start = manifest.end_of_text, manifest.start_of_text
        self.end_of_text, self.start_of_text = end, end if start is None else start
        self.prefix_ids = manifest.prefix_ids
        if folder is None:
            return
        with contextlib.suppress(OSError, ValueError):  # it is made anew where it cannot be read
            made = read_text(folder / TOKENIZER_FILE, 2 * len(self.tokenizer.json.encode()))
            if same_but_for_space(made, self.tokenizer.json):
                self.tokenizer = self.tokenizer._replace(json=made)

    def files(self) -> tuple[str, ...]:
        """Return the names of the files that this checkpoint is made of."""
        return source_files(self.source)

    def hashes(self, progress: Callable[[int], None] | None = None) -> dict[str, str]:
        """Return the hex SHA-256 of every file; ``progress`` gets the bytes of each block."""
        return {name: self.source.sha256(name, progress) for name in self.files()}

    def fingerprint(self) -> str:
        """Return the hex SHA-256 over tensors, tokenizer and sizes.

        It is the same for the same numbers whatever their files' layout, prefix or type, whether or
        not a head that equals the embedding was stored. Tensors not read yet are read now.
        """
        for name in self._places:
            if name not in self._digests:
                for _ in self.blocks(name):
                    pass
        sizes = {**asdict(self.config), "end_of_text": self.end_of_text}
        if self.start_of_text != self.end_of_text:  # else as before there was such an entry
            sizes["start_of_text"] = self.start_of_text
        if self.prefix_ids:
            sizes["prefix_ids"] = self.prefix_ids
        if not self.config.exact_gelu:  # likewise
            del sizes["exact_gelu"]
        # Rows without a token are never used: padding a vocabulary makes no other model. Whether
        # there is a head of its own, the tensors tell.
        for name in ("rows", "own_head", "file", "ends", "start"):
            del sizes[name]
        values = {
            "architecture": "gpt2",
            "sizes": sizes,
            "tokenizer": hashlib.sha256(self.tokenizer.json.encode()).hexdigest(),
            "tensors": self._digests,
        }
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    def __enter__(self) -> Self:
        """Return the checkpoint itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files."""
        self.close()

    def _same_rows(self, first: str, second: str) -> bool:
        rows = self.tokenizer.vocabulary
        step = max(1, _CHUNK // self.config.width)
        one, other = self._places[first], self._places[second]
        return all(
            np.array_equal(
                one[0].read(one[1], start, min(start + step, rows)),
                other[0].read(other[1], start, min(start + step, rows)),
            )
            for start in range(0, rows, step)
        )


def expected_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that a GPT-2 of this size has, the own head included."""
    width, inner = config.width, config.inner
    shapes: dict[str, tuple[int, ...]] = {
        EMBEDDING: (config.rows, width),
        "wpe.weight": (config.context, width),
    }
    for i in range(config.layers):
        shapes |= {
            f"h.{i}.ln_1.weight": (width,),
            f"h.{i}.ln_1.bias": (width,),
            f"h.{i}.attn.c_attn.weight": (width, 3 * width),
            f"h.{i}.attn.c_attn.bias": (3 * width,),
            f"h.{i}.attn.c_proj.weight": (width, width),
            f"h.{i}.attn.c_proj.bias": (width,),
            f"h.{i}.ln_2.weight": (width,),
            f"h.{i}.ln_2.bias": (width,),
            f"h.{i}.mlp.c_fc.weight": (width, inner),
            f"h.{i}.mlp.c_fc.bias": (inner,),
            f"h.{i}.mlp.c_proj.weight": (inner, width),
            f"h.{i}.mlp.c_proj.bias": (width,),
        }
    return shapes | {"ln_f.weight": (width,), "ln_f.bias": (width,), HEAD: (config.rows, width)}


Places = dict[str, tuple[TensorFile, str]]
"""Canonical name -> the file that holds the tensor, and its name there."""


def _find(files: list[TensorFile], config: Config) -> Places:
    """Match what is stored with what is expected; nothing may be missing, misshapen or extra."""
    stored: Places = {}
    for file in files:
        for name in file.tensors:
            canonical = _PREFIX.sub("", name, count=1)
            if canonical in stored:
                raise CheckpointError(
                    f"The tensor {shown(name)} is stored twice, in {stored[canonical][0].name} "
                    f"and {file.name}."
                )
            stored[canonical] = (file, name)
    if EMBEDDING not in stored and HEAD in stored and not config.own_head:
        stored[EMBEDDING] = stored[HEAD]  # of one tensor under two names, the other was kept
    places: Places = {}
    for name, shape in expected_shapes(config).items():
        if name not in stored:
            if name == HEAD and not config.own_head:  # the embedding serves as head
                continue
            raise CheckpointError(
                f"The tensor {name} is missing in the weights; {config.file} asks for one "
                f"of shape {list(shape)}."
            )
        file, stored_name = stored.pop(name)
        found = file.tensors[stored_name].shape
        if found != shape:
            raise CheckpointError(
                f"{file.name}: the tensor {stored_name} has shape {list(found)}, "
                f"{config.file} asks for {list(shape)}."
            )
        places[name] = (file, stored_name)
    if left := [name for name in stored if not _is_beside(name)]:
        file, stored_name = stored[left[0]]
        raise CheckpointError(
            f"{file.name}: the tensor {shown(stored_name)} does not belong to a GPT-2 of "
            f"n_layer {config.layers}, so the converted model would not be the same."
        )
    return places


def _is_beside(name: str) -> bool:
    """Return whether a tensor is none of the language model's, which is the same without it.

    These are buffers of the causal mask, which old checkpoints carry along, and the value head that
    TRL trains beside a model.
    """
    return name.startswith("v_head.") or (
        name.startswith("h.") and name.endswith((".attn.bias", ".attn.masked_bias"))
    )


def _open_weights(source: Source, kind: Kind, config: Config) -> list[TensorFile]:
    match kind:
        case "openai":
            return [open_release(source)]
        case "onnx":
            # Others need not wait until the library for this format has been loaded.
            from explorer.weights.checkpoints.onnx_export import open_export

            return [open_export(source, config)]
        case "huggingface":
            return _open_safetensors(source)


def _open_safetensors(source: Source) -> list[TensorFile]:
    files: list[TensorFile] = []
    try:
        for name in weight_files(source, "huggingface"):
            if not INDEX.fullmatch(name):
                files.append(SafetensorsFile(source.path(name), name))  # noqa: PERF401  closed on failure
    except BaseException:
        for file in files:
            file.close()
        raise
    return files


def _check_numbers(values: NDArray[np.float32], name: str, file: str, row: int = 0) -> None:
    """Refuse what cannot be weights; ``values`` begin with row ``row`` of the tensor."""
    flat = values.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK]
        # A number that is none is neither; two passes without a temporary array.
        if not (part.min() >= -_LARGEST and part.max() <= _LARGEST):
            place = start + int(np.argmin(np.abs(part) <= _LARGEST))
            index = [int(i) for i in np.unravel_index(place, values.shape)]
            index[0] += row
            kind = "at most 1e9 in size" if np.isfinite(flat[place]) else "finite"
            raise CheckpointError(
                f"{file}: the tensor {name} holds {flat[place]} at {index}, but weights must be "
                f"{kind}; the file is damaged or its training had diverged."
            )
