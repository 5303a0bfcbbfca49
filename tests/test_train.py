"""models/train.py: a few steps on a tiny corpus. Skipped where PyTorch is absent."""

import importlib
import json
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

torch = pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[1]
SENTENCES = ("The fox ran home.", "A crow sat on the old wall.", "“Why?” said the wolf — and left.")
SIZES = ["--layers", "2", "--heads", "2", "--width", "16", "--context", "32", "--vocabulary", "300"]


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, found as Python finds it when it is run."""
    monkeypatch.syspath_prepend(str(ROOT / "models"))
    for name in ("train", "gpt2"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("train")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Ninety documents, so three are held out; a word of their own tells those apart."""
    documents = [
        " ".join(SENTENCES[(i + j) % 3] for j in range(8)) + ("\nunseen" if i % 40 == 0 else "")
        for i in range(90)
    ]
    path = tmp_path / "corpus.txt"
    path.write_text("\n<|endoftext|>\n".join(documents), encoding="utf-8")
    return path


def weights(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


def test_every_fortieth_document_is_held_out(train: ModuleType, corpus: Path) -> None:
    found = train.read_corpus([corpus, corpus])
    assert len(found.held_out) == 6
    assert len(found.training) == 174
    assert all("unseen" in document for document in found.held_out)
    assert not any("unseen" in document for document in found.training)


def test_training_writes_a_gpt2_folder_that_got_better(
    train: ModuleType, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    options = ["--steps", "30", "--evaluate-every", "10", "--batch", "4", "--corpus", str(corpus)]
    train.main([*options, *SIZES, "--output", str(folder)])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step")]
    figures = [float(line.rpartition("bits per byte ")[2]) for line in lines]
    assert len(figures) == 3
    assert figures[-1] < figures[0] < 8
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    }
    config = json.loads((folder / "config.json").read_text())
    tensors = weights(folder)
    assert config["model_type"] == "gpt2"
    assert config["vocab_size"] == len(tensors["wte.weight"])
    assert tensors["h.1.attn.c_attn.weight"].shape == (16, 48)
    assert {str(tensor.dtype) for tensor in tensors.values()} == {"float16"}

    train.main(["--corpus", str(corpus), "--evaluate", str(folder)])
    measured = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert measured["bits_per_byte"] == pytest.approx(min(figures), rel=0.01)
    assert measured["documents"] == 3


def test_an_interrupted_run_goes_on_to_the_same_weights(
    train: ModuleType, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(name: str) -> list[str]:
        options = ["--steps", "8", "--evaluate-every", "4", "--batch", "2", "--corpus", str(corpus)]
        return [*options, *SIZES, "--output", str(tmp_path / name)]

    train.main(command("straight"))
    save = train.Run.save

    def save_and_stop(run: object) -> None:
        save(run)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train.Run, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train.main(command("interrupted"))
    assert (tmp_path / "interrupted" / "training.pt.part").exists()
    train.main(command("interrupted"))
    assert not (tmp_path / "interrupted" / "training.pt.part").exists()
    expected, found = weights(tmp_path / "straight"), weights(tmp_path / "interrupted")
    assert all(np.array_equal(expected[name], found[name]) for name in expected)


def test_training_from_a_folder_keeps_its_tokenizer(
    train: ModuleType, corpus: Path, tmp_path: Path
) -> None:
    options = ["--steps", "1", "--batch", "1", "--corpus", str(corpus)]
    train.main([*options, *SIZES, "--output", str(tmp_path / "first")])
    source = ["--from", str(tmp_path / "first"), "--muon-rate", "0", "--adam-rate", "0"]
    train.main([*options, *source, "--output", str(tmp_path / "second")])
    first, second = weights(tmp_path / "first"), weights(tmp_path / "second")
    assert all(np.array_equal(first[name], second[name]) for name in first)
    texts = [(tmp_path / name / "tokenizer.json").read_text() for name in ("first", "second")]
    assert texts[0] == texts[1]


def test_windows_predict_every_token_once(train: ModuleType) -> None:
    documents = [np.arange(1, 12, dtype=np.uint16), np.array([7, 8], dtype=np.uint16)]
    ids, targets = train.windows(documents, 4)
    predicted = targets[targets != train.IGNORED].tolist()
    assert predicted == [*range(2, 12), 8]
    assert ids[1].tolist() == [5, 6, 7, 8]  # the last token of one window begins the next


def test_batches_go_on_where_they_were(train: ModuleType) -> None:
    stream = np.arange(100, dtype=np.uint16)
    straight = train.batches(stream, 8, 2, seed=3, skip=0)
    expected = [next(straight) for _ in range(20)]
    for skip in (1, 5, 6, 13):
        again = train.batches(stream, 8, 2, seed=3, skip=skip)
        assert torch.equal(next(again), expected[skip])
    assert all(torch.equal(batch[:, 1:], batch[:, :-1] + 1) for batch in expected)


def test_orthogonal_has_singular_values_near_one(train: ModuleType) -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in ((8, 8), (8, 24), (24, 8)):
        update = train.orthogonal(torch.randn(*shape, generator=generator))
        values = torch.linalg.svdvals(update) / max(1, shape[1] / shape[0]) ** 0.5
        assert float(values.min()) > 0.4
        assert float(values.max()) < 1.3


def test_the_rate_warms_up_and_decays_to_zero(train: ModuleType) -> None:
    assert train.rate(0, 0.0) == pytest.approx(1 / 30)
    assert train.rate(100, 0.5) == 1
    assert train.rate(900, 0.825) == pytest.approx(0.5)
    assert train.rate(1000, 1.0) == 0
    assert not math.isnan(train.rate(5, 2.0))
