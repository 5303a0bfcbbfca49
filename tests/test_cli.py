"""The command line: what each command prints, what each error says, and how it ends."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from explorer.__main__ import main
from explorer.cli import FORMATS
from explorer.commands.open_model import choose_build
from explorer.commands.terminal import Progress
from explorer.core.counting import Counts
from explorer.core.errors import DeviceError, InputError
from explorer.engine.hardware.device import Facts, Gpu
from explorer.engine.text.tokens import Tokens
from explorer.library.collection import Collections
from explorer.library.export.collection_file import NAMES
from explorer.library.history import History
from explorer.library.ledger import Hunt, Ledger
from explorer.library.storage.database import Database
from explorer.system.paths import Paths
from tests.engine.cuda_stand_in import plug_in
from tests.tiny import make_tiny

ROOT = Path(__file__).resolve().parents[1]
GENERATE = ["generate", "--model", "tiny", "--prompt", "The lion", "--max-tokens", "12"]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one imported model, ``tiny``."""
    folder = tmp_path_factory.mktemp("cli")
    make_tiny(folder / "gpt2", context=160)
    assert main(["--data-dir", str(folder), "models", "import", str(folder / "gpt2"),
                 "--precision", "fp32", "--name", "tiny"]) == 0  # fmt: skip
    assert (
        main(["--data-dir", str(folder), "models", "convert", "tiny", "--precision", "int8"]) == 0
    )
    assert main(["--data-dir", str(folder), "generate", "--model", "tiny", "--prompt", "a"]) == 0
    return folder


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command and returns exit code, stdout and stderr."""

    def run(*words: str, data_dir: Path = home) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["--data-dir", str(data_dir), *words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def objects(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def hunts(database: Database) -> list[tuple[Hunt, Counts]]:
    history = History(database)
    return [(summary.hunt, summary.counts) for summary in history.page(history.ids())]


def command(home: Path, *words: str, **options: object) -> subprocess.Popen[str]:
    line = [sys.executable, str(ROOT / "main.py"), "--data-dir", str(home), *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True, encoding="utf-8", **options)


# generate


def test_jsonl_has_the_promised_fields_in_order_of_index(run: Run) -> None:
    code, out, err = run(*GENERATE, "--seed", "7", "--count", "5", "--lanes", "3", "--jsonl")
    assert (code, err) == (0, "")
    found = objects(out)
    assert [value["index"] for value in found] == [0, 1, 2, 3, 4]
    assert list(found[0]) == [
        "id", "ended", "length", "text", "prompt", "seed", "index", "tokens", "logprobs", "recipe",
        "model",
    ]  # fmt: skip
    for value in found:
        assert value["length"] == len(value["tokens"]) == len(value["logprobs"]) <= 12
        assert all(logprob <= 0 for logprob in value["logprobs"])
        assert (value["prompt"], value["seed"]) == ("The lion", 7)
        assert value["recipe"]["top_k"] == 40
        assert value["model"]["name"] == "tiny"
        assert value["model"]["build"] == "cpu-int8"


def test_a_candidate_is_the_same_whatever_the_lanes(run: Run) -> None:
    outputs = [
        run(*GENERATE, "--seed", "1", "--count", "6", "--lanes", lanes, "--jsonl")[1]
        for lanes in ("1", "2", "6", "16")
    ]
    assert len(set(outputs)) == 1


def test_a_drawn_seed_is_told_and_repeats(run: Run) -> None:
    first = objects(run(*GENERATE, "--jsonl")[1])[0]
    again = objects(run(*GENERATE, "--jsonl", "--seed", str(first["seed"]))[1])[0]
    assert again == first
    assert objects(run(*GENERATE, "--jsonl")[1])[0]["seed"] != first["seed"]


def test_one_completion_into_a_pipe_is_nothing_but_its_text(run: Run) -> None:
    expected = objects(run(*GENERATE, "--seed", "3", "--jsonl")[1])[0]["text"]
    assert run(*GENERATE, "--seed", "3") == (0, expected + "\n", "")


def test_several_completions_come_in_labelled_blocks(run: Run) -> None:
    expected = objects(run(*GENERATE, "--seed", "3", "--count", "3", "--jsonl")[1])
    for lanes in ("1", "3"):
        code, out, _ = run(*GENERATE, "--seed", "3", "--count", "3", "--lanes", lanes)
        assert code == 0
        assert out.count("[machine-written; ") == 3
        places = [out.index(f"======== try {value['index'] + 1} ========\n{value['text']}\n")
                  for value in expected]  # fmt: skip
        assert places == sorted(places)


def test_a_prompt_file_has_the_line_ends_of_the_window(run: Run, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_bytes("Où\r\n “x”\r\u2028 \u2029\n\n".encode())
    words = ["generate", "--model", "tiny", "--max-tokens", "1", "--jsonl"]
    code, out, _ = run(*words, "--prompt-file", str(tmp_path / "prompt.txt"))
    assert code == 0
    assert objects(out)[0]["prompt"] == "Où\n “x”\n\n \n\n\n"


def test_a_byte_order_mark_is_no_part_of_a_prompt(run: Run, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_bytes("\ufeffThe \ufefflion".encode())
    words = ["generate", "--model", "tiny", "--max-tokens", "1", "--jsonl"]
    code, out, _ = run(*words, "--prompt-file", str(tmp_path / "prompt.txt"))
    assert code == 0
    assert objects(out)[0]["prompt"] == "The \ufefflion"


def test_a_prompt_file_in_another_encoding_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_bytes("Où".encode("latin-1"))
    words = ["generate", "--model", "tiny", "--prompt-file", str(tmp_path / "prompt.txt")]
    code, _, err = run(*words)
    assert code == 2
    assert "not UTF-8 (byte 1); save it" in err


@pytest.mark.parametrize("option", ["--temperature", "--top-p"])
@pytest.mark.parametrize("text", ["0,7", "1,234.5", "0٫7"])
def test_a_comma_in_a_number_is_refused_in_every_language(run: Run, option: str, text: str) -> None:
    code, out, err = run("generate", "--model", "nobody's", option, text)
    assert (code, out) == (2, "")
    assert "with a point as decimal sign" in err


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices with names")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("place", ["/dev/zero", "pipe", "file", "stdin"])
@pytest.mark.parametrize("option", ["--prompt-file", "--file", "--text"])
def test_a_text_without_an_end_is_refused_before_anything_is_computed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, option: str
) -> None:
    monkeypatch.setattr("explorer.commands.terminal.TEXT_LIMIT", 3_000_000)
    writer = None
    name = place if place.startswith("/") else "-" if place == "stdin" else str(tmp_path / place)
    if place == "pipe":
        os.mkfifo(name)
        writer = subprocess.Popen(["/bin/sh", "-c", 'exec yes > "$0"', name])
    elif place == "file":
        with Path(name).open("wb") as file:
            file.truncate(1 << 33)
    command = {"--prompt-file": ["generate", "--model", "nobody's"],
               "--file": ["score", "--model", "nobody's"],
               "--text": ["models", "compare", "nobody's"]}[option]  # fmt: skip
    with Path("/dev/zero").open(encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        code, out, err = run(*command, option, name)
    if writer is not None:
        assert writer.wait(30) != 0  # its pipe was closed
    assert (code, out) == (2, "")
    assert "has more than 3 MB, the most that is read" in err
    assert err.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="pipes with names")
def test_a_prompt_comes_through_a_pipe(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["/bin/sh", "-c", 'echo "The lion" > "$0"', tmp_path / "pipe"]):
        words = ["generate", "--model", "tiny", "--max-tokens", "1", "--jsonl"]
        code, out, _ = run(*words, "--prompt-file", str(tmp_path / "pipe"))
    assert code == 0
    assert objects(out)[0]["prompt"] == "The lion\n"


def test_an_unconditional_candidate_has_an_empty_prompt(run: Run) -> None:
    code, out, _ = run("generate", "--model", "tiny", "--unconditional", "--max-tokens", "4",
                       "--jsonl")  # fmt: skip
    assert code == 0
    assert objects(out)[0]["prompt"] == ""


def test_every_setting_reaches_the_recipe(run: Run) -> None:
    code, out, _ = run(*GENERATE, "--top-k", "5", "--temperature", "0.5", "--top-p", "0.9",
                       "--top-p-rule", "openai", "--end-of-text", "never", "--jsonl")  # fmt: skip
    assert code == 0
    assert objects(out)[0]["recipe"] == {
        "top_k": 5, "temperature": 0.5, "top_p": 0.9, "top_p_rule": "openai", "max_tokens": 12,
        "end_of_text": "never",
    }  # fmt: skip


def test_a_gpt2_folder_can_be_named_by_its_path(run: Run, home: Path) -> None:
    words = ["--prompt", "The lion", "--max-tokens", "12", "--seed", "1", "--jsonl"]
    by_path = objects(run("generate", "--model", str(home / "gpt2"), *words)[1])[0]
    by_name = objects(run("generate", "--model", "tiny", *words)[1])[0]
    assert by_path["tokens"] == by_name["tokens"]


# Which build is opened


def made(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("models/*/*/model.onnx")}


@pytest.mark.parametrize(
    ("precisions", "best"),
    [
        (["fp32"], "cpu-fp32"),
        (["int4"], "cpu-int4"),
        (["int4", "fp32"], "cpu-fp32"),
        (["int4", "fp32", "int8"], "cpu-int8"),
    ],
)
def test_without_a_precision_the_best_build_that_is_there_is_opened(
    run: Run, home: Path, tmp_path: Path, precisions: list[str], best: str
) -> None:
    first, *more = precisions
    words = ["--precision", first, "--name", "other"]
    assert run("models", "import", str(home / "gpt2"), *words, data_dir=tmp_path)[0] == 0
    for precision in more:
        words = ["convert", "other", "--precision", precision]
        assert run("models", *words, data_dir=tmp_path)[0] == 0
    (tmp_path / "text.txt").write_text("The lion")
    there = made(tmp_path)
    words = ["--model", "other", "--prompt", "The lion", "--max-tokens", "1", "--jsonl"]
    code, out, _ = run("generate", *words, data_dir=tmp_path)
    assert (code, objects(out)[0]["model"]["build"]) == (0, best)
    words = ["--model", "other", "--file", str(tmp_path / "text.txt")]
    assert run("score", *words, data_dir=tmp_path)[0] == 0
    assert made(tmp_path) == there
    words = ["--model", "other", "--prompt", "The", "--precision", "int8", "--jsonl"]
    code, out, _ = run("generate", *words, data_dir=tmp_path)
    assert (code, objects(out)[0]["model"]["build"]) == (0, "cpu-int8")
    assert made(tmp_path) == there | {"cpu-int8"}


def test_a_build_that_lost_a_file_is_not_the_best(run: Run, home: Path, tmp_path: Path) -> None:
    words = ["--precision", "fp32", "--name", "other"]
    assert run("models", "import", str(home / "gpt2"), *words, data_dir=tmp_path)[0] == 0
    assert run("models", "convert", "other", "--precision", "int8", data_dir=tmp_path)[0] == 0
    (tmp_path / "models" / "other" / "cpu-int8" / "weights.bin").unlink()
    words = ["--model", "other", "--prompt", "The lion", "--max-tokens", "1", "--jsonl"]
    code, out, _ = run("generate", *words, data_dir=tmp_path)
    assert (code, objects(out)[0]["model"]["build"]) == (0, "cpu-fp32")


# generate --record


def test_nothing_is_recorded_unless_asked(run: Run, home: Path, tmp_path: Path) -> None:
    run("generate", "--model", str(home / "gpt2"), "--prompt", "a", data_dir=tmp_path)
    assert not Paths.default(tmp_path).library.exists()


def test_recorded_tries_are_unjudged_and_the_hunt_goes_on(
    run: Run, home: Path, tmp_path: Path
) -> None:
    words = ["generate", "--model", str(home / "gpt2"), "--prompt", "The lion", "--jsonl"]
    words += ["--record", "--max-tokens", "6"]
    first = objects(run(*words, "--count", "3", data_dir=tmp_path)[1])
    second = objects(run(*words, "--count", "2", data_dir=tmp_path)[1])
    assert [value["index"] for value in [*first, *second]] == [0, 1, 2, 3, 4]
    assert len({value["seed"] for value in [*first, *second]}) == 1
    other = objects(run(*words, "--seed", "9", data_dir=tmp_path)[1])
    assert [(value["index"], value["seed"]) for value in other] == [(0, 9)]
    with Database.open(Paths.default(tmp_path).library) as database:
        ledger = Ledger(database)
        newest, oldest = hunts(database)
        assert (newest[1].unjudged, oldest[1].unjudged, oldest[1].tries) == (1, 5, 5)
        tries = ledger.tries(oldest[0].id)
        assert [list(attempt.end.ids) for attempt in tries if attempt.end] == [
            value["tokens"] for value in [*first, *second]
        ]
        assert tries[0].end
        assert tries[0].end.text == first[0]["text"]
        assert tries[0].versions["sample-explorer"]
        assert [policy.until_keep for policy in ledger.policies(oldest[0].id)] == [False]


def test_recording_beside_a_running_window_is_refused(run: Run, home: Path, tmp_path: Path) -> None:
    with Database.open(Paths.default(tmp_path).library):
        code, out, err = run("generate", "--model", str(home / "gpt2"), "--prompt", "a",
                             "--record", data_dir=tmp_path)  # fmt: skip
    assert (code, out) == (1, "")
    assert "already runs" in err


# Ctrl+C and pipes


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for a child there")
@pytest.mark.parametrize("module", ["argparse", "numpy", "tokenizers", "onnxruntime"])
def test_ctrl_c_while_the_program_loads_says_nothing(tmp_path: Path, module: str) -> None:
    """The signal comes at the first import of ``module``, however fast the machine is."""
    probe = tmp_path / "probe.py"
    probe.write_text(
        "import builtins, os, runpy, signal, sys\n"
        "module, program, *words = sys.argv[1:]\n"
        "real = builtins.__import__\n"
        "def watched(name, *rest):\n"
        "    if name.split('.')[0] == module:\n"
        "        builtins.__import__ = real\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = watched\n"
        "sys.argv = [program, *words]\n"
        "sys.path[0] = os.path.dirname(program)\n"
        "runpy.run_path(program, run_name='__main__')\n"
    )
    line = [sys.executable, str(probe), module, str(ROOT / "main.py"), "--data-dir", str(tmp_path)]
    found = subprocess.run(
        [*line, *GENERATE], capture_output=True, text=True, timeout=60, check=False
    )
    assert (found.returncode, found.stdout, found.stderr) == (130, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for a child there")
@pytest.mark.parametrize(
    ("extra", "number"),
    [([], 2), (["--record"], 2), (["--record"], 15), (["--record"], 1)],
    ids=["Ctrl+C", "recorded, Ctrl+C", "recorded, SIGTERM", "recorded, SIGHUP"],
)
def test_a_signal_keeps_what_was_finished(
    home: Path, tmp_path: Path, extra: list[str], number: int
) -> None:
    words = ["generate", "--model", str(home / "gpt2"), "--prompt", "The", "--max-tokens", "9"]
    process = command(tmp_path, *words, "--count", "1000000", "--jsonl", *extra)
    assert process.stdout
    assert process.stderr
    lines = [process.stdout.readline() for _ in range(3)]
    process.send_signal(number)
    # Not communicate(), which would pass over what readline() has fetched already.
    with process:
        rest, err = process.stdout.read(), process.stderr.read()
    assert process.returncode == 128 + number
    assert err == ""
    printed = objects("".join(lines) + rest)
    indices = [value["index"] for value in printed]
    assert indices == sorted(set(indices))  # what was cut short is left out
    if extra:
        with Database.open(Paths.default(tmp_path).library) as database:
            ((hunt, _),) = hunts(database)
            ended = [attempt.end for attempt in Ledger(database).tries(hunt.id)]
            assert all(ended)  # nothing was left open, so nothing reads as a crash
            whole = [end for end in ended if end and end.reason != "stopped"]
            assert len(whole) == len(printed)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGPIPE there")
def test_a_reader_that_has_seen_enough_is_no_error(home: Path) -> None:
    process = command(home, *GENERATE, "--count", "1000000", "--jsonl")
    assert process.stdout
    assert process.stderr
    assert json.loads(process.stdout.readline())["index"] == 0
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full there")
def test_a_full_disk_behind_stdout_is_said(home: Path) -> None:
    line = [sys.executable, str(ROOT / "main.py"), "--data-dir", str(home), *GENERATE]
    with Path("/dev/full").open("w") as full:
        found = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert found.returncode == 1
    assert found.stderr == "sample-explorer: reading or writing failed: No space left on device.\n"


@pytest.mark.skipif(sys.platform == "win32", reason="no shell to close a stream there")
def test_closed_streams_lead_nowhere(home: Path) -> None:
    line = [sys.executable, str(ROOT / "main.py"), "--data-dir", str(home), *GENERATE]
    found = subprocess.run(
        ["/bin/sh", "-c", '"$@" <&- >&-', "sh", *line], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stderr) == (0, "")


def test_any_text_can_be_written_into_a_pipe(home: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Où “x”", encoding="utf-8")
    words = ["score", "--model", "tiny", "--file", str(tmp_path / "text.txt")]
    process = command(home, *words, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "“" in out


def test_commands_run_without_qt(home: Path) -> None:
    script = (
        "import sys; from explorer.__main__ import main; code = main(sys.argv[1:]);"
        "print(code, [name for name in sys.modules if name.startswith('PySide6')])"
    )
    line = [sys.executable, "-c", script, "--data-dir", str(home), *GENERATE]
    found = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stdout.splitlines()[-1] == "0 []"


# score


def test_score_gives_every_token(run: Run, tmp_path: Path) -> None:
    text = "The lion and the mouse\n were in “the” house."
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    words = ["score", "--model", "tiny", "--file", str(tmp_path / "text.txt")]
    code, out, err = run(*words, "--jsonl")
    assert (code, err) == (0, "")
    found = objects(out)
    assert list(found[0]) == ["token", "id", "logprob", "rank", "entropy"]
    assert found[0]["token"].startswith("T")
    assert all(value["logprob"] <= 0 <= value["rank"] < 300 for value in found)
    code, out, _ = run(*words)
    assert code == 0
    assert len(out.splitlines()) == len(found) + 2
    assert "bits a byte" in out


def test_score_agrees_with_what_generate_says(run: Run, home: Path, tmp_path: Path) -> None:
    words = ["generate", "--model", "tiny", "--unconditional", "--seed", "2", "--count", "60"]
    words += ["--top-k", "0", "--max-tokens", "4", "--end-of-text", "never", "--jsonl"]
    tokens = Tokens.from_folder(home / "gpt2")
    # A model may write a text in other tokens than the tokenizer would cut it into.
    made = next(
        value
        for value in objects(run(*words)[1])
        if tokens.encode(value["text"]) == value["tokens"]
    )
    (tmp_path / "text.txt").write_text(made["text"], encoding="utf-8")
    out = run("score", "--model", "tiny", "--file", str(tmp_path / "text.txt"), "--jsonl")[1]
    scored = objects(out)
    assert [value["id"] for value in scored] == made["tokens"]
    assert "".join(value["token"] for value in scored) == made["text"]
    assert [value["logprob"] for value in scored] == pytest.approx(made["logprobs"], abs=1e-3)


# models


def test_models_are_imported_listed_and_removed(run: Run, home: Path, tmp_path: Path) -> None:
    code, out, _ = run("models", "import", str(home / "gpt2"), "--name", "Other one",
                       "--precision", "int4", data_dir=tmp_path)  # fmt: skip
    assert code == 0
    assert "Other one" in out
    assert "cpu-int4" in out
    listed = run("models", "list", data_dir=tmp_path)[1]
    assert listed.startswith("demo: ")
    assert "Other one: 0.0 M parameters, context 160, vocabulary 300; cpu-int4" in listed
    assert run("models", "remove", "Other one", data_dir=tmp_path)[0] == 0
    assert "Other one" not in run("models", "list", data_dir=tmp_path)[1]


def test_a_model_is_made_in_another_precision(run: Run, home: Path, tmp_path: Path) -> None:
    run("models", "import", str(home / "gpt2"), "--name", "small", "--precision", "int8",
        data_dir=tmp_path)  # fmt: skip
    words = ["models", "convert", "small", "--precision", "int4"]
    code, out, err = run(*words, data_dir=tmp_path)
    assert (code, err) == (0, "")
    assert re.fullmatch(r"small has the build cpu-int4 now: \d+ MB, made in [\d.]+ s\.\n", out)
    assert "cpu-int8" in run("models", "list", data_dir=tmp_path)[1]
    assert "cpu-int4" in run("models", "list", data_dir=tmp_path)[1]
    code, out, _ = run(*words, data_dir=tmp_path)
    assert code == 0
    assert re.fullmatch(r"small has the build cpu-int4 already, \d+ MB\.\n", out)


# export


def test_a_collection_is_exported(run: Run, home: Path, tmp_path: Path) -> None:
    words = ["generate", "--model", str(home / "gpt2"), "--prompt", "The lion", "--count", "2"]
    run(*words, "--record", "--max-tokens", "5", data_dir=tmp_path)
    with Database.open(Paths.default(tmp_path).library) as database:
        collection = Collections(database).create("Lions")
        ledger = Ledger(database)
        ((hunt, _),) = hunts(database)
        rejected, kept = ledger.tries(hunt.id)
        ledger.decide([(rejected.id, "rejected")])
        ledger.decide([(kept.id, "kept")], collection=collection.id)
    target = tmp_path / "lions.jsonl"
    code, out, _ = run("export", "Lions", "--format", "jsonl", "--output", str(target),
                       data_dir=tmp_path)  # fmt: skip
    assert (code, out) == (0, f"1 sample written to {target}.\n")
    (sample,) = objects(target.read_text())
    assert sample["tries"] == 2
    code, again, _ = run("export", "Lions", "--format", "jsonl", "--output", str(target),
                         data_dir=tmp_path)  # fmt: skip
    assert (code, again) == (0, out)  # replaced without a question, as its help says
    _, words, _ = run("export", "--help")
    assert "replaced if it is there" in " ".join(words.split())
    assert list(sample)[:4] == ["id", "ended", "length", "text"]
    code, out, _ = run("export", "Lions", "--format", "markdown", "--output", "-",
                       data_dir=tmp_path)  # fmt: skip
    assert code == 0
    assert "machine-written, 2 tries (1 rejected)" in out


# bench


def test_bench_ends_with_one_line_of_json(run: Run) -> None:
    code, out, _ = run("bench", "--model", "tiny", "--precision", "fp32", "--lanes", "1", "3",
                       "--json")  # fmt: skip
    assert code == 0
    figures = json.loads(out.splitlines()[-1])
    assert {"prompt64_ms", "lanes1", "lanes3", "versions"} <= figures.keys()
    assert figures["precision"] == "fp32"
    assert all(figures[name] > 0 for name in ("prompt64_ms", "lanes1", "lanes3"))
    assert figures["bandwidth_gb_s"] > 0
    assert "memory allows" in out
    assert "What would be faster: " in out
    assert "fewer bytes" not in out  # memory is no bound of a model this small


def test_bench_measures_behind_prompts_of_several_lengths(run: Run) -> None:
    code, out, _ = run("bench", "--model", "tiny", "--precision", "int8", "--lanes", "2",
                       "--context", "9", "130", "--json")  # fmt: skip
    assert code == 0
    figures = json.loads(out.splitlines()[-1])
    assert figures["contexts"].keys() == {"9", "130"}
    assert figures["lanes2"] == figures["contexts"]["9"]["2"]


def test_bench_measures_the_memory_of_a_gpu(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch)
    monkeypatch.setattr("explorer.engine.session._BUFFER", 1 << 20)
    code, out, _ = run("bench", "--model", "tiny", "--device", "cuda", "--lanes", "1", "--json")
    assert code == 0
    figures = json.loads(out.splitlines()[-1])
    assert figures["device"] == "cuda"
    assert 0.01 < figures["bandwidth_gb_s"] < 10_000
    assert "memory moves" in out
    assert "not measured" not in out
    assert "a GPU with faster memory." in out


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("md", "markdown"), ("markdown", "markdown"), ("html", "html"), ("htm", "html"),
        ("json", "jsonl"), ("jsonl", "jsonl"), ("MD", "markdown"), (".htm", "html"),
    ],
)  # fmt: skip
def test_a_format_has_the_names_that_people_know(
    run: Run, tmp_path: Path, typed: str, meant: str
) -> None:
    with Database.open(Paths.default(tmp_path).library):
        pass
    assert FORMATS == NAMES
    words = ["export", "Kept samples", "--output", "-", "--format"]
    code, out, err = run(*words, typed, data_dir=tmp_path)
    assert (code, err) == (0, "")
    assert out == run(*words, meant, data_dir=tmp_path)[1]
    begins = {"markdown": "# Kept", "html": "<!DOCTYPE html>", "jsonl": ""}[meant]
    assert out.startswith(begins)


# Errors


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["generate", "--model", "tiny", "--prompt", "a", "--temperature", "-1"], 2, "from 0 to"),
        (["generate", "--model", "tiny", "--prompt", "a", "--top-k", "x"], 2, "a whole number"),
        (["generate", "--model", "tiny", "--prompt", "a", "--top-k", "-1"], 2,
         ": --top-k must be a whole number from 0 to"),
        (["generate", "--model", "tiny", "--prompt", "a", "--top-p", "2"], 2, ": --top-p must be"),
        (["generate", "--model", "tiny", "--prompt", "a", "--temperature", "nan"], 2,
         ": --temperature must be"),
        (["generate", "--model", "tiny", "--prompt", "a", "--max-tokens", "0"], 2,
         ": --max-tokens must be"),
        (["generate", "--model", "tiny", "--prompt", "a", "--seed", "-7"], 2, ": --seed: "),
        (["export", "Kept samples", "--format", "pdf", "--output", "x"], 2,
         "--format: must be jsonl, markdown or html (or json, md, htm), not 'pdf'"),
        (["generate", "--model", "tiny", "--prompt", "a", "--lanes", "17"], 2, "from 1 to 16"),
        (["generate", "--model", "tiny", "--prompt", "a", "--count", "0"], 2, "at least 1"),
        (["generate", "--model", "tiny", "--prompt", "a", "--seed", "-1"], 2, "The seed must"),
        (["generate", "--model", "tiny", "--prompt", "a " * 300], 2, "160"),
        (["generate", "--model", "tiny", "--prompt-file", "/no/such"], 2, "cannot be read"),
        (["generate", "--model", "tiny", "--prompt-file", "/"], 2, "cannot be read"),
        (["score", "--model", "tiny", "--file", "/no/such"], 2, "cannot be read"),
        (["score", "--model", "tiny", "--file", "/"], 2, "cannot be read"),
        (["generate", "--model", "tiny"], 2, "--prompt"),
        (["generate", "--model", "tiny", "--prompt", "a", "--unconditional"], 2, "not allowed"),
        (["generate", "--model", "nothing", "--prompt", "a"], 2, "demo, tiny"),
        (["generate", "--model", str(ROOT / "tests"), "--prompt", "a"], 2, "neither a model"),
        (["generate", "--model", "tiny", "--prompt", "a", "--precision", "fp16"], 1, "No NVIDIA"),
        (["generate", "--model", "tiny", "--prompt", "a", "--device", "cuda"], 1, "No NVIDIA"),
        (["generate", "--model", "tiny", "--prompt", "a", "--device", "cuda:1"], 1, "No NVIDIA"),
        (["bench", "--model", "tiny", "--device", "cuda:0"], 1, "No NVIDIA"),
        (["bench", "--model", "tiny", "--context", "0"], 2, "at least 1"),
        (["bench", "--model", "tiny", "--context", "64", "150"], 2, "at most 144, not 150"),
        (["generate", "--model", "tiny", "--prompt", "a", "--device", "cuda:x"], 2,
         "--device: must be auto, cpu, cuda or a GPU by its number such as cuda:0, not 'cuda:x'"),
        (["generate", "--model", "tiny", "--prompt", "a", "--device", "cuda:0",
          "--precision", "int8"], 2, "int8 runs on the CPU only"),
        (["generate", "--model", "tiny", "--prompt", "a", "--device", "cpu",
          "--precision", "fp16"], 2, "NVIDIA GPU"),
        (["score", "--model", "tiny", "--file", "/dev/null"], 2, "empty"),
        (["models", "import", "/no/such/folder"], 2, "/no/such/folder"),
        (["models", "import", ""], 2, "must name a folder or one of its files"),
        (["models", "convert", "nobody", "--precision", "int8"], 2, "no model or folder 'nobody'"),
        (["models", "convert", "demo"], 2, "--precision"),
        (["models", "remove", "demo"], 2, "belongs to the program"),
        (["models"], 2, "ACTION"),
        (["export", "No such", "--format", "html", "--output", "x.html"], 2, "No such"),
        (["--data-dir", "", "models", "list"], 2, "must name a folder"),
        (["--data-dir", __file__, "models", "list"], 2, "is a file"),
        (["--data-dir", "~nobody at all", "models", "list"], 2, "somebody unknown"),
        (["generat"], 2, "invalid choice"),
        (["--frobnicate"], 2, "unrecognized"),
    ],
)  # fmt: skip
def test_an_error_is_one_sentence_with_its_code(
    run: Run, words: list[str], code: int, sentence: str
) -> None:
    found, out, err = run(*words)
    assert (found, out) == (code, "")
    assert sentence in err
    assert err.startswith("sample-explorer")
    assert err.endswith(".\n")
    assert err.count("\n") == 1


def test_only_debug_shows_where_an_error_came_from(run: Run, home: Path) -> None:
    words = ["generate", "--model", "nothing", "--prompt", "a"]
    assert "Traceback" not in run(*words)[2]
    assert "Traceback" in run("--debug", *words)[2]


def test_a_bug_is_said_as_one_and_shown_with_debug(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.commands.models.Store", lambda paths: 1 / 0)
    code, _, err = run("models", "list")
    assert code == 1
    assert err.startswith("sample-explorer: unexpected ZeroDivisionError")
    assert err.count("\n") == 1
    with pytest.raises(ZeroDivisionError):
        main(["--debug", "models", "list"])


def test_too_little_memory_is_no_bug(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explorer.commands.models.Store", lambda paths: bytes(1 << 60))
    code, _, err = run("models", "list")
    assert code == 1
    assert err.startswith("sample-explorer: there is too little memory")
    assert err.count("\n") == 1


def test_a_path_does_not_command_the_terminal(run: Run, home: Path, tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "a\x1b[2Jb\nc")
    code, out, _ = run("models", "import", str(folder), "--name", "escaped")
    assert code == 0
    assert out.count("\n") == 1
    assert "a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}c" in out
    assert run("models", "remove", "escaped")[0] == 0


def test_version_and_help_end_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("sample-explorer 0.")
    for words in ([], ["generate"], ["models", "import"]):
        assert main([*words, "--help"]) == 0
        assert "usage: sample-explorer" in capsys.readouterr().out


def test_no_command_opens_the_window(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[Path, bool]] = []
    monkeypatch.setattr(
        "explorer.app.run", lambda paths, debug: opened.append((paths.data, debug)) or 0
    )
    assert main(["--data-dir", str(home), "--debug"]) == 0
    assert opened == [(home.resolve(), True)]


# Choosing a build


def test_the_build_follows_device_and_precision() -> None:
    assert choose_build("cpu", None) == "cpu-int8"
    assert choose_build("cuda", None) == "cuda-fp16"
    assert choose_build("cuda:1", None) == "cuda-fp16"
    assert choose_build("cuda:1", "fp16") == "cuda-fp16"
    assert choose_build("auto", "int4") == "cpu-int4"
    assert choose_build("auto", "fp16") == "cuda-fp16"
    for wish in ("cuda", "cuda:1"):
        with pytest.raises(InputError):
            choose_build(wish, "int8")


@pytest.mark.parametrize("wish", ["cuda:1", "cuda:2"])
def test_the_gpu_that_was_named_is_the_one_that_runs(
    run: Run, monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    gpus = (Gpu("First", (9, 0)), Gpu("Second", (9, 0)))
    found = Facts("Linux", True, "580.65.06", gpus)
    monkeypatch.setattr("explorer.engine.hardware.device.probe", lambda provider: found)
    asked: list[tuple[str, str]] = []

    def refuse(name: str, build: str, device: str, paths: Paths) -> None:
        asked.append((build, device))
        raise DeviceError("The scripted GPU does not run.")

    monkeypatch.setattr("explorer.commands.open_model._open", refuse)
    code, out, err = run("generate", "--model", "tiny", "--prompt", "a", "--device", wish)
    assert (code, out) == (1, "")
    if wish == "cuda:1":  # no other device takes its place
        assert asked == [("cuda-fp16", "cuda:1")]
        assert "The scripted GPU does not run." in err
    else:
        assert asked == []
        assert err == "sample-explorer: There is no GPU 2, GPUs 0 to 1; choose another one.\n"


def test_progress_stays_out_of_files(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file, Progress(file) as progress:
        progress(0.5, "Half")
    assert (tmp_path / "log").read_text() == ""


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminal there")
def test_progress_rewrites_one_line_of_a_terminal() -> None:
    reader, writer = os.openpty()
    with os.fdopen(writer, "w") as terminal:
        with Progress(terminal) as progress:
            progress(0.5, "Converting layer 10")
            progress(1.0, "Done")
        written = b""
        while written.count(b"\r") < 4:  # a terminal hands over what it has so far
            written += os.read(reader, 1000)
    shown = written.decode()
    os.close(reader)
    assert shown.startswith("\r 50% Converting layer 10\r100% Done ")
    assert shown.endswith("\r")
    assert "\n" not in shown
