"""Every script of tests/benchmarks runs once, on tiny models, so that none of them rots.

What they measure here means nothing. Memory over a session is the exception: it must not grow.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from safetensors import safe_open

from explorer.weights.formats.config import read_config
from explorer.weights.formats.untrusted_folder import Source
from tests.benchmarks.shapes import Shape, write_shape
from tests.builds import make_builds
from tests.tiny import make_tiny

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="they read /proc")


def run(name: str, *words: str | Path) -> str:
    """Run a script and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.benchmarks.{name}", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as ``shapes`` writes it, but the model in it is tiny."""
    folder = tmp_path_factory.mktemp("shapes")
    make_tiny(folder / "124M", width=32, heads=2, context=160, tokenizer="vocab.json")
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of the program's own, with a build."""
    source = make_tiny(tmp_path_factory.mktemp("tiny"), width=32, heads=2, context=256)
    folder = make_builds(source, tmp_path_factory.mktemp("built") / "tiny", "cpu-int8")
    shutil.copy(source / "tokenizer.json", folder)
    return folder


def test_every_script_is_run_here() -> None:
    scripts = {
        path.stem
        for path in (ROOT / "tests" / "benchmarks").glob("*.py")
        if "__main__" in path.read_text(encoding="utf-8")
    }
    here = Path(__file__).read_text(encoding="utf-8")
    assert {name for name in scripts if f'run("{name}"' not in here} == {"shapes"}  # see below
    assert len(scripts) > 6


def test_shapes(tmp_path: Path) -> None:
    """The smallest release is 500 MB, so what writes it is given a narrower one."""
    for name in ("encoder.json", "vocab.bpe"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    write_shape(tmp_path / "narrow", Shape(layers=1, heads=1, width=8), tmp_path)
    source = Source(tmp_path / "narrow")
    config = read_config(source)
    assert (config.layers, config.heads, config.width, config.inner) == (1, 1, 8, 32)
    with safe_open(tmp_path / "narrow" / "model.safetensors", "np") as tensors:
        assert tensors.get_tensor("wte.weight").shape == (config.rows, 8)
        assert tensors.get_tensor("h.0.mlp.c_fc.weight").std() == pytest.approx(0.02, rel=0.2)


def test_overhead() -> None:
    said = run("overhead", "--tiny", "--turns", "2", "--lanes", "3")
    assert "top-k off" in said
    assert "of the speed at top-k 40" in said


def test_memory_stays_where_it_was() -> None:
    said = run("long_session", "--tiny", "--tokens", "8000")
    assert "times what it was" in said


def test_precision(shapes: Path) -> None:
    source = shapes.parent / "precision"
    make_tiny(source, width=32, heads=2, context=160)
    text = source / "text.txt"
    text.write_text("The lion and the mouse were in the house when the winter wind began to sing.")
    options = ["--text", text, "--rounds", "1", "--only", "fp32", "int8/32"]
    assert "| int8/32 |" in run("precision", "--model", source, *options)


def test_memory(built: Path) -> None:
    said = run("memory", built, "--builds", "cpu-int8")
    assert said.count("| cpu-int8 |") == 4
    assert "ended with" not in said


def test_conversion_and_loading(shapes: Path, tmp_path: Path) -> None:
    said = run("conversion", shapes, "--only", "124M", "--builds", "cpu-int8", "--keep", tmp_path)
    assert "cpu-int8" in said
    assert "cpu-int8" in run("loading", shapes, tmp_path, "--only", "124M", "--builds", "cpu-int8")


def test_growth(tmp_path: Path) -> None:
    figures = {
        "name": "tiny",
        "build": "cpu-int8",
        "device_name": "CPU, 2 cores",
        "contexts": {"64": {"1": 10.0, "8": 35.5}, "256": {"1": 9.0, "8": 30.0}},
        "needs_mb": {"64": {"1": 80, "8": 95}, "256": {"1": 85, "8": 120}},
    }
    (tmp_path / "bench.txt").write_text("a table\n" + json.dumps(figures))
    run("growth", tmp_path / "bench.txt", tmp_path / "speed.svg")
    picture = ElementTree.parse(tmp_path / "speed.svg").getroot()
    assert sum(element.tag.endswith("polyline") for element in picture.iter()) == 4


def test_restyle() -> None:
    assert "ms a step" in run("restyle", "--steps", "1")


def test_smoothness() -> None:
    said = run("smoothness", "--lanes", "2", "--rate", "200", "--seconds", "0.5")
    assert "ms" in said


def test_loud(tmp_path: Path) -> None:
    model = make_tiny(tmp_path / "tiny", width=32, heads=2, context=64)
    text = tmp_path / "text.txt"
    text.write_text("the lion and the mouse were in the house " * 30, encoding="utf-8")
    found = run("loud", "--model", model, "--by", "1", "30", "--text", text)
    rows = [line.split(" | ") for line in found.splitlines() if line.startswith("| cpu")]
    assert [row[0] for row in rows] == ["| cpu-int8", "| cpu-int4"] * 2
    left, brought = (float(cell.strip(" |")) for cell in rows[2][2:])
    assert left > 2 * brought > 0


def test_damaged_libraries() -> None:
    printed = run("damaged_libraries", "--count", "8", "--windows", "2")
    assert "met by anything but a sentence" in printed
    assert printed.split()[-1] == "0"
