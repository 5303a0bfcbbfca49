"""Opening GPT-2 folders: every layout reads as the same numbers, all else is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from explorer.core.errors import CheckpointError
from explorer.weights.checkpoints.checkpoint import expected_shapes, open_checkpoint
from tests.tiny import encode, make_tiny, random_weights, write_safetensors, write_weights

SIZES = {"layers": 2, "width": 16, "context": 64, "rows": 300}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_tiny(tmp_path / "tiny")


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


def change_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


# What opens


def test_it_reads_what_was_written(folder: Path) -> None:
    written = random_weights(**SIZES)
    with open_checkpoint(folder) as checkpoint:
        assert set(checkpoint.names) == set(written)
        for name, tensor in written.items():
            assert np.array_equal(checkpoint.read(name), tensor)
        assert checkpoint.parameters == sum(tensor.size for tensor in written.values())
        assert checkpoint.end_of_text == 299
        assert checkpoint.tied


@pytest.mark.parametrize(
    "layout",
    [
        {"prefix": ""},
        {"shards": 3},
        {"shards": 2, "prefix": "", "head": "tied"},
        {"head": "tied"},
        {"buffers": True},
        {"tokenizer": "vocab.json"},
        {"config": {"n_positions": None}},
        {"config": {"layer_norm_epsilon": None, "activation_function": None}},
        {"inner": 64},
    ],
    ids=str,
)
def test_layout_does_not_change_the_model(folder: Path, tmp_path: Path, layout: dict) -> None:
    other = make_tiny(tmp_path / "other", **layout)
    with open_checkpoint(folder) as one, open_checkpoint(other) as two:
        assert one.fingerprint() == two.fingerprint()
        assert one.names == two.names


FINE_TUNED = {"layers": 3, "context": 256, "vocabulary": 320, "added": ("[PAD]", "<|user|>")}


@pytest.mark.parametrize(
    "layout",
    [
        {"dtype": "bf16"},
        {"dtype": "bf16", "prefix": "", "buffers": True},  # as of distilgpt2 on the hub
        {"dtype": "bf16", "shards": 2, "head": "tied"},
        {"dtype": "bf16", "config": {"eos_token_id": [317, 5]}},
        {"dtype": "bf16", "config": {"eos_token_id": None, "pad_token_id": 318}},
    ],
    ids=str,
)
def test_fine_tuned_folders_as_transformers_writes_them(tmp_path: Path, layout: dict) -> None:
    plain = make_tiny(tmp_path / "plain", **FINE_TUNED, dtype="bf16")
    folder = make_tiny(tmp_path / "saved", **FINE_TUNED, **layout)
    # Copied from what transformers 4 and 5 write beside or into a folder.
    change_config(
        folder,
        dtype="bfloat16",
        torch_dtype="bfloat16",
        transformers_version="5.23.0",
        use_cache=True,
        resid_pdrop=0.1,
        summary_type="cls_index",
        task_specific_params={"text-generation": {"do_sample": True, "max_length": 50}},
        id2label={"0": "LABEL_0"},
        _num_labels=1,
        n_inner=None,
    )
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    sequence = {"Sequence": {"id": "A", "type_id": 0}}
    values["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [sequence],
        "pair": [sequence, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {},
    }
    values["decoder"]["add_prefix_space"] = True
    path.write_text(json.dumps(values), encoding="utf-8")
    for name in ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).write_text('{"transformers_version": "5.23.0"}')
    with open_checkpoint(plain) as one, open_checkpoint(folder) as two:
        assert one.fingerprint() == two.fingerprint()
        assert two.end_of_text == 317
        assert "generation_config.json" not in two.files()


@pytest.mark.parametrize("name", ["score.weight", "multiple_choice_head.summary.bias"])
def test_another_head_on_a_gpt2_is_refused(folder: Path, name: str) -> None:
    weights = random_weights(**SIZES)
    write_weights(folder, weights | {name: weights["ln_f.bias"]})
    assert name in refusal(folder)


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"heads": 4}, {"head": "own"}, {"added": ("<pad>",)}, {"dtype": "fp16"}],
    ids=str,
)
def test_another_model_has_another_fingerprint(folder: Path, tmp_path: Path, change: dict) -> None:
    other = make_tiny(tmp_path / "other", **change)
    with open_checkpoint(folder) as one, open_checkpoint(other) as two:
        assert one.fingerprint() != two.fingerprint()


def test_rows_without_a_token_are_neither_read_nor_fingerprinted(tmp_path: Path) -> None:
    weights = random_weights(**SIZES)
    one = make_tiny(tmp_path / "one")
    two = make_tiny(tmp_path / "two", rows=320)
    padding = np.full((20, 16), 7, np.float32)
    padded = weights | {"wte.weight": np.concatenate([weights["wte.weight"], padding])}
    write_weights(two, padded)
    with open_checkpoint(one) as plain, open_checkpoint(two) as wider:
        assert wider.read("wte.weight").shape == (300, 16)
        assert plain.fingerprint() == wider.fingerprint()


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_half_precision_reads_as_the_nearest_float32(tmp_path: Path, dtype: str) -> None:
    folder = make_tiny(tmp_path / "half", dtype=dtype)
    written = random_weights(**SIZES)
    step = {"fp16": 2**-11, "bf16": 2**-8}[dtype]
    with open_checkpoint(folder) as checkpoint:
        for name, tensor in written.items():
            read = checkpoint.read(name)
            assert read.dtype == np.float32
            assert np.allclose(read, tensor, rtol=step, atol=1e-7)
        assert not np.array_equal(checkpoint.read("wte.weight"), written["wte.weight"])


def test_the_official_library_writes_what_we_read_and_reads_what_we_wrote(folder: Path) -> None:
    ours = load_file(folder / "model.safetensors")
    with open_checkpoint(folder) as checkpoint:
        before = checkpoint.fingerprint()
        assert np.array_equal(ours["transformer.ln_f.bias"], checkpoint.read("ln_f.bias"))
    save_file(ours, folder / "model.safetensors", metadata={"format": "pt"})
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.fingerprint() == before


def test_a_head_of_its_own_is_kept(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "own", head="own")
    with open_checkpoint(folder) as checkpoint:
        assert not checkpoint.tied
        assert "lm_head.weight" in checkpoint.names
        head, embedding = checkpoint.read("lm_head.weight"), checkpoint.read("wte.weight")
        assert head.shape == embedding.shape
        assert not np.array_equal(head, embedding)


def test_hashes_name_every_file(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "many", shards=2, tokenizer="vocab.json")
    with open_checkpoint(folder) as checkpoint:
        assert set(checkpoint.hashes()) == {path.name for path in folder.iterdir()}


# What is refused: config


@pytest.mark.parametrize(
    ("entry", "value", "expected"),
    [
        ("model_type", "gpt_neo", "'gpt2'"),
        ("activation_function", "relu", "'gelu_new'"),
        ("scale_attn_weights", False, "True"),
        ("scale_attn_by_inverse_layer_idx", True, "False"),
        ("add_cross_attention", True, "False"),
        ("add_cross_attention", 0, "False"),
        ("pruned_heads", {"0": [1]}, "whole"),
        ("quantization_config", {"bits": 4}, "unquantised"),
        ("n_layer", 0, "from 1"),
        ("n_layer", True, "whole number"),
        ("n_head", 3, "divided"),
        ("n_embd", 10**400, "whole number"),
        ("n_positions", 1, "at least 2"),
        ("n_positions", 64.0, "whole number"),
        ("vocab_size", "300", "whole number"),
        ("vocab_size", -1, "from 1"),
        ("n_inner", [64], "whole number"),
        ("layer_norm_epsilon", 0, "above 0"),
        ("layer_norm_epsilon", 10**400, "at most 1"),
    ],
)
def test_config_refusals_name_entry_found_and_expected(
    folder: Path, entry: str, value: object, expected: str
) -> None:
    change_config(folder, **{entry: value})
    message = refusal(folder)
    assert "config.json" in message
    assert entry in message
    assert expected in message


def test_a_missing_model_type_is_said_so(tmp_path: Path) -> None:
    message = refusal(make_tiny(tmp_path / "x", config={"model_type": None}))
    assert "model_type must be 'gpt2'" in message
    assert "found nothing" in message


def test_a_missing_context_is_named_as_it_is_written_today(tmp_path: Path) -> None:
    message = refusal(make_tiny(tmp_path / "x", config={"n_positions": None, "n_ctx": None}))
    assert "n_positions must be" in message
    assert "found nothing" in message


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"a": NaN', "\udcff", "[" * 100_000])
def test_unreadable_config(folder: Path, text: str) -> None:
    (folder / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert "config.json" in refusal(folder).replace(str(folder), "")


def test_fewer_rows_than_tokens(folder: Path) -> None:
    change_config(folder, vocab_size=299)
    message = refusal(folder)
    assert "needs 300 embedding rows" in message
    assert "only 299" in message


# What is refused: tensors


def test_a_missing_tensor_is_named_with_its_shape(folder: Path) -> None:
    weights = random_weights(**SIZES)
    del weights["h.1.mlp.c_fc.weight"]
    write_weights(folder, weights)
    message = refusal(folder)
    assert "h.1.mlp.c_fc.weight is missing" in message
    assert "[16, 64]" in message


def test_a_head_that_the_config_promises_must_be_there(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "x", config={"tie_word_embeddings": False})
    message = refusal(folder)
    assert "lm_head.weight is missing" in message
    assert "[300, 16]" in message


def test_a_misshapen_tensor_is_named_with_both_shapes(folder: Path) -> None:
    weights = random_weights(**SIZES)
    weights["h.0.attn.c_attn.weight"] = weights["h.0.attn.c_attn.weight"].T.copy()
    write_weights(folder, weights)
    message = refusal(folder)
    assert "h.0.attn.c_attn.weight" in message
    assert "[48, 16]" in message
    assert "[16, 48]" in message


def test_layers_that_the_config_does_not_know_are_refused(folder: Path) -> None:
    change_config(folder, n_layer=1)
    message = refusal(folder)
    assert "h.1." in message
    assert "n_layer 1" in message


def test_a_tensor_stored_twice_is_refused(folder: Path) -> None:
    weights = random_weights(**SIZES)
    write_weights(folder, weights | {"transformer.ln_f.bias": weights["ln_f.bias"]})
    assert "stored twice" in refusal(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_refused_with_their_place(folder: Path, value: float) -> None:
    weights = random_weights(**SIZES)
    weights["h.1.attn.c_proj.weight"][3, 5] = value
    write_weights(folder, weights)
    with open_checkpoint(folder) as checkpoint:
        with pytest.raises(CheckpointError, match=r"h\.1\.attn\.c_proj\.weight .* \[3, 5\]"):
            checkpoint.read("h.1.attn.c_proj.weight")
        with pytest.raises(CheckpointError, match="finite"):
            checkpoint.fingerprint()


@pytest.mark.parametrize("name", ["h.0.ln_1.weight", "h.1.attn.c_proj.weight", "wte.weight"])
def test_a_flipped_bit_of_an_exponent_is_found(folder: Path, name: str) -> None:
    weights = random_weights(**SIZES)
    bits = weights[name].reshape(-1).view(np.uint32)
    place = int(np.argmax(np.abs(weights[name].reshape(-1)) < 1))
    bits[place] |= 1 << 30
    write_weights(folder, weights)
    with open_checkpoint(folder) as checkpoint:
        with pytest.raises(CheckpointError, match=r"holds .*e\+3[0-9] at .* at most 1e9"):
            checkpoint.read(name)
        with pytest.raises(CheckpointError, match="is damaged"):
            list(checkpoint.blocks(name))


def test_large_weights_are_weights(folder: Path) -> None:
    weights = random_weights(**SIZES)
    weights["h.0.ln_1.weight"][3] = -1e9
    write_weights(folder, weights)
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.read("h.0.ln_1.weight")[3] == -1e9


def test_a_weight_of_another_type_is_refused(folder: Path) -> None:
    tensors = {name: encode(tensor, "fp32") for name, tensor in random_weights(**SIZES).items()}
    tensors["ln_f.bias"] = ("I64", (16,), bytes(128))
    write_safetensors(folder / "model.safetensors", tensors)
    with open_checkpoint(folder) as checkpoint, pytest.raises(CheckpointError, match="I64"):
        checkpoint.read("ln_f.bias")


def test_double_precision_is_rounded_to_single(folder: Path, tmp_path: Path) -> None:
    weights = random_weights(**SIZES)
    tensors = {
        name: ("F64", tensor.shape, tensor.astype("<f8").tobytes())
        for name, tensor in weights.items()
    }
    with open_checkpoint(folder) as checkpoint:
        before = checkpoint.fingerprint()
    write_safetensors(folder / "model.safetensors", tensors)
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.fingerprint() == before
    tensors["ln_f.bias"] = ("F64", (16,), np.full(16, 1e300).tobytes())
    write_safetensors(folder / "model.safetensors", tensors)
    with open_checkpoint(folder) as checkpoint, pytest.raises(CheckpointError, match="finite"):
        checkpoint.read("ln_f.bias")


@pytest.mark.parametrize(
    "entries",
    [
        {"reorder_and_upcast_attn": True},
        {"activation_function": "gelu_fast"},
        {"activation_function": "gelu_pytorch_tanh"},
        {"model_type": None, "architectures": None},
    ],
    ids=str,
)
def test_other_words_for_the_same_model(folder: Path, tmp_path: Path, entries: dict) -> None:
    with open_checkpoint(folder) as one:
        before = one.fingerprint()
    with open_checkpoint(make_tiny(tmp_path / "said", config=entries)) as two:
        assert two.fingerprint() == before


@pytest.mark.parametrize("prefix", ["_orig_mod.transformer.", "module.transformer.", "module."])
def test_names_as_training_leaves_them(folder: Path, tmp_path: Path, prefix: str) -> None:
    weights = {prefix + name: values for name, values in random_weights(**SIZES).items()}
    with open_checkpoint(folder) as one:
        before = one.fingerprint()
    beside = {"v_head.summary.weight": np.ones((1, 16), np.float32)}
    other = make_tiny(tmp_path / "x")
    write_weights(other, weights | beside)
    with open_checkpoint(other) as two:
        assert two.fingerprint() == before
    weights["lm_head.weight"] = weights.pop(f"{prefix}wte.weight")
    write_weights(other, weights)
    with open_checkpoint(other) as two:
        assert two.fingerprint() == before
        assert two.tied
    write_weights(other, weights | {"lm_head.summary.weight": beside["v_head.summary.weight"]})
    assert "lm_head.summary.weight" in refusal(other)


def test_masks_may_have_any_type(folder: Path) -> None:
    tensors = {name: encode(tensor, "fp32") for name, tensor in random_weights(**SIZES).items()}
    tensors["h.0.attn.bias"] = ("BOOL", (1, 1, 4, 4), bytes(16))
    write_safetensors(folder / "model.safetensors", tensors)
    open_checkpoint(folder).close()


# What is refused: files


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "model.safetensors" in refusal(folder)


def test_pytorch_files_are_refused_with_the_reason(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    message = refusal(folder)
    assert "can run code" in message
    assert "safe_serialization" in message


def test_no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    message = refusal(folder)
    assert "tokenizer.json" in message
    assert "merges.txt" in message


def test_no_folder(tmp_path: Path) -> None:
    assert "no folder" in refusal(tmp_path / "absent")


def test_a_file_instead_of_a_folder(folder: Path) -> None:
    assert "choose the folder" in refusal(folder / "model.safetensors")


def test_expected_shapes_are_those_of_gpt2(tmp_path: Path) -> None:
    with open_checkpoint(make_tiny(tmp_path / "x", layers=1, width=8, inner=24)) as checkpoint:
        shapes = expected_shapes(checkpoint.config)
    assert shapes["h.0.mlp.c_fc.weight"] == (8, 24)
    assert shapes["h.0.mlp.c_proj.weight"] == (24, 8)
    assert len(shapes) == 2 + 12 + 2 + 1
