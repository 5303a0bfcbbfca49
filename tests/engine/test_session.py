"""The session against the float64 oracle, and rows against each other, in every CPU build.

Truth bar: fp32 logits within 1e-4 * max(1, |logit|) of tests/reference.py, whatever way they were
computed. Independence: equal bits for a row alone, among others, and in another place.
"""

from __future__ import annotations

import dataclasses
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.core.errors import (
    DeviceError,
    EngineError,
    InterruptedPrefillError,
    ModelError,
    OutOfMemoryError,
)
from explorer.core.manifest import Manifest
from explorer.core.recipe import Recipe
from explorer.engine import memory_estimate
from explorer.engine import runtime as module
from explorer.engine.lanes import Lanes
from explorer.engine.messages import Start, Steps
from explorer.engine.session import Session
from explorer.engine.text.tokens import Tokens
from explorer.weights.builds.packing import Packing, Storage
from tests.builds import make_builds, reader, spec_of
from tests.reference import load_reference, log_softmax
from tests.tiny import make_tiny

SHAPES = {
    "plain": {},
    "one odd head": {"heads": 1, "width": 12, "vocabulary": 7, "spread": 1.0},
    "odd everything": {"heads": 3, "width": 33, "layers": 3, "vocabulary": 131, "inner": 50},
    "own head, many rows": {"head": "own", "heads": 4, "width": 64, "rows": 350},
}
BUILDS = ["cpu-fp32", "cpu-int8", "cpu-int4"]


@dataclasses.dataclass
class Model:
    source: object
    folder: object
    vocabulary: int

    def session(self, build="cpu-fp32"):
        return Session(self.folder, build, "cpu", 1)

    def ids(self, n, seed=0):
        return np.random.default_rng(seed).integers(0, self.vocabulary, n)


@pytest.fixture(scope="module", params=SHAPES)
def model(request, tmp_path_factory):
    folder, shape = tmp_path_factory.mktemp("model"), SHAPES[request.param]
    source = make_tiny(folder / "source", context=48, **shape)
    vocabulary = shape.get("vocabulary", 300)
    spec = spec_of(source, vocabulary=vocabulary)
    return Model(source, make_builds(source, folder / "made", *BUILDS, spec=spec), vocabulary)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    source = make_tiny(folder / "source", layers=3, width=64, heads=4)
    return Model(source, make_builds(source, folder / "made", *BUILDS), 300)


def check(found, expected):
    """Compare logits with the oracle's."""
    np.testing.assert_array_less(
        np.abs(found - expected), 1e-4 * np.maximum(1, np.abs(expected)) + 1e-30
    )


def check_probabilities(output):
    """Compare the probabilities of every row with its logits, and what is left out with nothing."""
    for row in range(len(output.logsumexp)):
        logits = output.logits(row).astype(np.float64)
        exponentials = np.exp(logits - logits.max())
        assert (output.probabilities(row)[logits == -np.inf] == 0).all()
        np.testing.assert_allclose(
            output.probabilities(row), exponentials / exponentials.sum(), rtol=3e-6, atol=1e-30
        )


def all_logits(output):
    return np.array([output.logits(row).copy() for row in range(len(output.logsumexp))])


# Truth


@pytest.mark.parametrize("build", BUILDS)
def test_probabilities_are_those_of_the_logits(model, build):
    session = model.session(build)
    check_probabilities(session.prefill(session.cache(1), model.ids(20).tolist(), rows="all"))
    check_probabilities(session.step(session.cache(4), model.ids(3), np.ones(3, np.int64)))


def test_a_prompt_in_one_go(model):
    ids = model.ids(48)
    session = model.session()
    expected = load_reference(model.source).logits(ids)[:, : model.vocabulary]
    output = session.prefill(session.cache(1), ids.tolist(), rows="all")
    found = all_logits(output)
    assert found.shape == (48, model.vocabulary)
    check(found, expected)
    logsumexp = (expected - log_softmax(expected))[:, 0]
    np.testing.assert_allclose(output.logsumexp, logsumexp, atol=1e-4)
    last = session.prefill(session.cache(1), ids.tolist())
    check(last.logits(0), expected[-1])


@pytest.mark.parametrize("chunk", [1, 2, 7, 16, 47])
def test_a_prompt_in_chunks(model, chunk):
    ids = model.ids(48)
    session = model.session()
    runs = counted(session)
    output = session.prefill(session.cache(1), ids.tolist(), chunk=chunk)
    check(output.logits(0), load_reference(model.source).logits(ids)[-1, : model.vocabulary])
    assert len(runs) == -(-48 // chunk)


def counted(session):
    """Return a list that grows with every run of the graph."""
    runs, run = [], session._run

    def counting(call):
        runs.append(call)
        return run(call)

    session._run = counting
    return runs


def test_a_prompt_that_goes_on(model):
    ids = model.ids(40)
    session = model.session()
    cache = session.cache(1)
    session.prefill(cache, ids[:25].tolist())
    output = session.prefill(cache, ids[25:].tolist(), 25, rows="all")
    check(all_logits(output), load_reference(model.source).logits(ids)[25:, : model.vocabulary])


def test_token_by_token_to_the_last_position(model):
    ids = model.ids(48)
    session = model.session()
    cache = session.cache(1)
    expected = load_reference(model.source).logits(ids)[:, : model.vocabulary]
    for position, token in enumerate(ids):
        output = session.step(cache, np.array([token]), np.array([position]))
        check(output.logits(0), expected[position])


def test_ragged_lanes(model):
    reference, session = load_reference(model.source), model.session()
    lengths = [1, 30, 7, 12, 2]
    texts = [model.ids(48, seed) for seed in range(len(lengths))]
    expected = [reference.logits(text)[:, : model.vocabulary] for text in texts]
    cache = session.cache(5)
    for row, (text, length) in enumerate(zip(texts, lengths, strict=True)):
        prompt = session.cache(1)
        session.prefill(prompt, text[:length].tolist())
        session.copy_row(prompt, 0, cache, row, length)
    for step in range(18):
        positions = np.array(lengths) + step
        tokens = np.array([text[p] for text, p in zip(texts, positions, strict=True)])
        output = session.step(cache, tokens, positions)
        for row, position in enumerate(positions):
            check(output.logits(row), expected[row][position])


def test_greedy_continuations_are_equal(plain):
    reference, session = load_reference(plain.source), plain.session()
    ids, cache = plain.ids(5).tolist(), session.cache(1)
    output, expected = session.prefill(cache, ids), list(ids)
    while len(ids) < 40:
        expected.append(int(reference.logits(expected)[-1].argmax()))
        ids.append(int(output.top_ids[0, 0]))
        output = session.step(cache, np.array(ids[-1:]), np.array([len(ids) - 1]))
    assert ids == expected


@pytest.mark.parametrize("build", BUILDS)
def test_top_entries_are_the_largest_logits_with_ties_by_lower_id(model, build):
    session = model.session(build)
    output = session.prefill(session.cache(1), model.ids(20).tolist(), rows="all")
    for row, logits in enumerate(all_logits(output)):
        order = np.lexsort((np.arange(len(logits)), -logits))[: session.build.top]
        assert output.top_ids[row].tolist() == order.tolist()
        assert np.array_equal(output.top_logits[row], logits[order])


def test_equal_logits_are_ordered_by_id(tmp_path):
    source = make_tiny(tmp_path / "source", vocabulary=300)
    spec = spec_of(source)
    weights = reader(source)
    (table,) = weights("wte.weight")
    table[[3, 250, 17, 140]] = table[140] * 3  # four tokens with the same row, likely ones
    folder = make_builds(
        source, tmp_path / "made", "cpu-fp32", spec=spec,
        read=lambda name: [table] if name in ("wte.weight", "lm_head.weight") else weights(name),
    )  # fmt: skip
    session = Session(folder, "cpu-fp32", "cpu", 1)
    output = session.prefill(session.cache(1), list(range(1, 40)), rows="all")
    seen = 0
    for ids, logits in zip(output.top_ids.tolist(), output.top_logits.tolist(), strict=True):
        if 3 in ids:
            place = ids.index(3)
            assert ids[place : place + 4] == [3, 17, 140, 250]
            assert len(set(logits[place : place + 4])) == 1
            seen += 1
    assert seen > 5


def test_ids_without_a_token_have_no_logit(tmp_path):
    source = make_tiny(tmp_path / "source", vocabulary=40, width=8, holes=(5, 39))
    spec = dataclasses.replace(spec_of(source), undrawable=(5, 39))
    folder = make_builds(source, tmp_path / "made", *BUILDS, spec=spec)
    expected = load_reference(source).logits([1, 2, 3])[-1]
    for build in BUILDS:
        session = Session(folder, build, "cpu", 1)
        output = session.prefill(session.cache(1), [1, 2, 3])
        logits = output.logits(0)
        assert np.isneginf(logits[[5, 39]]).all()
        assert np.isfinite(np.delete(logits, [5, 39])).all()
        assert set(output.top_ids[0, -2:].tolist()) == {5, 39}  # K = V here: they come last
        assert output.logsumexp[0] == pytest.approx(np.logaddexp.reduce(logits), abs=1e-5)
        if build == "cpu-fp32":
            check(np.delete(logits, [5, 39]), np.delete(expected, [5, 39]))


@pytest.mark.parametrize(("build", "bound"), [("cpu-int8", 0.01), ("cpu-int4", 0.5)])
def test_quantised_builds_stay_near(plain, build, bound):
    ids = plain.ids(60)
    exact = log_softmax(load_reference(plain.source).logits(ids))
    session = plain.session(build)
    output = session.prefill(session.cache(1), ids.tolist(), rows="all")
    found = all_logits(output) - output.logsumexp[:, None]
    divergence = (np.exp(exact) * (exact - found)).sum(axis=1)
    assert 0 < divergence.mean() < bound


@pytest.mark.parametrize(
    ("build", "storage", "bound"),
    [("cpu-int8", Storage(8, 32), 0.01), ("cpu-int4", Storage(4, 32), 0.5)],
)
def test_a_build_in_an_earlier_packing_runs_as_it_is(tmp_path, build, storage, bound):
    """All in blocks, as both were before 8 bits had one scale an output."""
    source = make_tiny(tmp_path / "source", width=64, heads=4)
    packing = Packing(storage, storage, even_rows=True)
    folder = make_builds(source, tmp_path / "made", build, packing=packing)
    session = Session(folder, build, "cpu", 2)
    ids = np.random.default_rng(0).integers(0, 300, 40)
    exact = log_softmax(load_reference(source).logits(ids))
    output = session.prefill(session.cache(1), ids.tolist(), rows="all")
    found = all_logits(output) - output.logsumexp[:, None]
    assert 0 < (np.exp(exact) * (exact - found)).sum(axis=1).mean() < bound
    assert memory_estimate.estimate(session.manifest, build, 4).total > 0


def test_a_build_without_probabilities_draws_the_same(tmp_path):
    """As builds were before their graphs handed them over."""
    import onnx

    source = make_tiny(tmp_path / "source")
    folder = make_builds(source, tmp_path / "made", "cpu-fp32")
    tokens, found = Tokens.from_folder(source), []
    for _ in range(2):
        session = Session(folder, "cpu-fp32", "cpu", 1)
        lanes, drawn = Lanes(session, tokens), []
        for index in range(3):
            recipe = Recipe(
                top_k=0, top_p=(1.0, 0.9, 0.5)[index], max_tokens=30, end_of_text="never"
            )
            lanes.start(Start((1, index), index, 7, (10, 20, 30), recipe))
        while lanes.running:
            for event in lanes.step():
                if isinstance(event, Steps):
                    figures = event.logprobs.tolist(), event.ranks.tolist()
                    drawn.append((event.keys, event.tokens.tolist(), *figures))
        found.append(drawn)
        model = onnx.load(folder / "cpu-fp32" / "model.onnx", load_external_data=False)
        outputs = [each for each in model.graph.output if each.name != "probabilities"]
        assert len(outputs) == len(model.graph.output) - (len(found) == 1)
        del model.graph.output[:]
        model.graph.output.extend(outputs)
        onnx.save(model, folder / "cpu-fp32" / "model.onnx")
    assert sum(len(tokens) for _, tokens, *_ in found[0]) == 3 * 30
    assert found[0] == found[1]


# Rows do not see each other


@pytest.mark.parametrize("build", BUILDS)
@settings(max_examples=15)
@given(data=st.data())
def test_a_row_has_the_same_bits_alone_and_among_others(plain, build, data):
    """For every number of rows from 1 to 16, on whatever CPU this runs."""
    session = SESSIONS.setdefault((id(plain), build), plain.session(build))
    rows = data.draw(st.integers(1, 16), "rows")
    place = data.draw(st.integers(0, rows - 1), "place")
    seed = data.draw(st.integers(0, 1000), "seed")
    start = data.draw(st.integers(1, 30), "start")
    mine, prompt = plain.ids(40, seed), session.cache(1)
    session.prefill(prompt, mine[:start].tolist())
    alone, among = session.cache(1), session.cache(rows)
    session.copy_row(prompt, 0, alone, 0, start)
    session.copy_row(prompt, 0, among, place, start)
    others = np.random.default_rng(seed + 1)
    for position in range(start, start + 6):
        one = session.step(alone, mine[[position]], np.array([position]))
        expected = bits(one, 0)
        tokens = others.integers(0, 300, rows)
        positions = others.integers(0, 60, rows)
        tokens[place], positions[place] = mine[position], position
        assert bits(session.step(among, tokens, positions), place) == expected


SESSIONS: dict = {}


def bits(output, row):
    return (
        output.logits(row).tobytes(),
        output.top_logits[row].tobytes(),
        output.top_ids[row].tobytes(),
        output.logsumexp[row].tobytes(),
    )


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("shape", [{"width": 64, "heads": 4}, {"width": 132, "heads": 3}])
def test_every_number_of_rows_gives_the_same_bits(tmp_path, build, shape):
    source = make_tiny(tmp_path / "source", vocabulary=333, **shape)
    folder = make_builds(source, tmp_path / "made", build)
    session = Session(folder, build, "cpu", 2)
    tokens = np.random.default_rng(0).integers(0, 333, (5, 16))

    def run(rows):
        cache, found = session.cache(rows), []
        for position, row in enumerate(tokens):
            output = session.step(cache, row[:rows], np.full(rows, position))
            found.append([bits(output, r) for r in range(rows)])
        return found

    widest = run(16)
    for rows in range(1, 16):
        assert run(rows) == [step[:rows] for step in widest], rows


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("threads", [2, 8])
def test_more_threads_than_heads_do_not_share_a_row(one_head, build, threads):
    """Attention would split long rows of equal length among idle threads, and add up otherwise."""
    session = Session(one_head, build, "cpu", threads)
    ids = np.random.default_rng(0).integers(0, 300, 1024)
    prompt = session.cache(1)
    session.prefill(prompt, ids[:1000].tolist())

    def run(rows, *lengths):
        cache = session.cache(rows)
        positions = np.resize(lengths, rows)
        for row, length in enumerate(positions.tolist()):
            session.copy_row(prompt, 0, cache, row, length)
        output = session.step(cache, ids[positions], positions)
        return [bits(output, row) for row in range(rows)]

    for length in (40, 1000):
        (alone,) = run(1, length)
        for rows in (2, 3, 7, 8, 16):
            assert set(run(rows, length)) == {alone}, (length, rows)
            assert set(run(rows, length, 300, 7)[::3]) == {alone}, (length, rows)
    caches = {rows: session.cache(rows) for rows in (1, threads)}
    assert [cache.rows for cache in caches.values()] == [1, threads]
    with pytest.raises(ValueError, match="do not fit"):
        session.step(caches[1], ids[:2], np.zeros(2, np.int64))


@pytest.fixture(scope="module")
def one_head(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one head")
    source = make_tiny(folder / "source", layers=1, heads=1, width=64, context=1024)
    return make_builds(source, folder / "made", *BUILDS)


def test_products_of_whole_numbers_never_need_padding(plain):
    assert plain.session("cpu-int8")._rows_agree()


def test_a_cpu_whose_kernels_count_rows_gets_padding(plain, monkeypatch):
    monkeypatch.setattr(Session, "_rows_agree", lambda self: False)
    session = plain.session("cpu-fp32")
    cache = session.cache(3)
    assert (cache.rows, cache.idle) == (3, 1)
    output = session.step(cache, np.array([1, 2, 3]), np.array([0, 0, 0]))
    assert len(output.logsumexp) == len(output.top_ids) == 3
    expected = load_reference(plain.source)
    for row in range(3):
        check(output.logits(row), expected.logits([row + 1])[0])


def test_the_look_at_the_cpu_notices_rows_that_differ(plain, monkeypatch):
    session = plain.session("cpu-fp32")
    assert session._rows_agree()
    honest = Session.step

    def dependent(self, cache, tokens, positions):
        output = honest(self, cache, tokens, positions)
        if len(tokens) == 1:
            output.logits(0)[5] = np.nextafter(output.logits(0)[5], np.float32(100))
        return output

    monkeypatch.setattr(Session, "step", dependent)
    assert not session._rows_agree()


# Buffers


def test_copying_a_row_leaves_the_others_alone(plain):
    session = plain.session()
    source, target = session.cache(2), session.cache(3)
    for cache in (source, target):
        for position in range(4):
            tokens = plain.ids(cache.rows, position)
            session.step(cache, tokens, np.full(cache.rows, position))
    before = [array.copy() for array in target._arrays]
    session.copy_row(source, 1, target, 2, 3)
    for old, new, from_ in zip(before, target._arrays, source._arrays, strict=True):
        assert np.array_equal(new[2, :, :3], from_[1, :, :3])
        assert np.array_equal(new[2, :, 3:], old[2, :, 3:])
        assert np.array_equal(new[:2], old[:2])


def test_rows_are_copied_on_the_device_without_the_host(plain):
    """The way of the GPU, tried on the CPU: whole rows through a graph that copies."""
    session = plain.session()
    source, target = session.cache(2), session.cache(3)
    for number, array in enumerate(source._arrays):
        array[:] = np.random.default_rng(number).random(array.shape, np.float32)
    session._place = dataclasses.replace(session._place, make=lambda shape, dtype: None)
    session.copy_row(source, 1, target, 2, 3)
    for new, from_ in zip(target._arrays, source._arrays, strict=True):
        assert np.array_equal(new[2], from_[1])
        assert not new[:2].any()


def test_a_step_makes_no_new_arrays(plain):
    session = plain.session()
    cache = session.cache(4)
    tokens, positions = np.arange(4), np.full(4, 0)
    first = session.step(cache, tokens, positions)
    again = session.step(cache, tokens, positions + 1)
    assert again is first
    assert session.step(cache, tokens[:2], positions[:2] + 2) is not first


def test_a_cache_that_is_dropped_takes_its_bindings_along(plain):
    session = plain.session()
    cache = session.cache(2)
    session.step(cache, np.arange(2), np.zeros(2, int))
    before = len(session._steps)
    del cache
    assert len(session._steps) == before - 1


@pytest.mark.parametrize(("ids", "start"), [([], 0), ([1] * 65, 0), ([1, 2], 63), ([1], -1)])
def test_a_prompt_outside_the_context_is_a_mistake(plain, ids, start):
    session = plain.session()
    with pytest.raises(ValueError, match="do not fit into 64"):
        session.prefill(session.cache(1), ids, start)


def test_steps_outside_cache_or_context_are_mistakes(plain):
    session = plain.session()
    cache = session.cache(2)
    with pytest.raises(ValueError, match="3 rows do not fit into a cache of 2"):
        session.step(cache, np.arange(3), np.arange(3))
    for position in (-1, 64):
        with pytest.raises(ValueError, match="not inside 64"):
            session.step(cache, np.array([1]), np.array([position]))


def test_a_closed_session_has_let_go(plain):
    session = plain.session()
    session.close()
    with pytest.raises((AttributeError, TypeError)):
        session.prefill(session.cache(1), [1])


# Stopping


def test_a_prompt_stops_between_chunks(plain):
    session = plain.session()
    runs = counted(session)
    cache, stop = session.cache(1), lambda: len(runs) == 2
    with pytest.raises(InterruptedPrefillError):
        session.prefill(cache, [1] * 60, chunk=10, stop=stop)
    assert len(runs) == 2
    check_alive(plain, session)


def test_a_prompt_stops_in_the_middle_of_a_chunk(tmp_path, monkeypatch):
    # Far less than the chunk takes.
    monkeypatch.setattr("explorer.engine.session._STOP_INTERVAL", 0.001)
    source = make_tiny(tmp_path / "source", layers=8, width=256, heads=4, context=512)
    session = Session(make_builds(source, tmp_path / "made", "cpu-fp32"), "cpu-fp32", "cpu", 1)
    begun = threading.Event()

    def stop():  # asked once before the chunk, then from the watching thread
        if begun.is_set():
            return True
        begun.set()
        return False

    cache, ids = session.cache(1), [1] * 512
    with pytest.raises(InterruptedPrefillError):
        session.prefill(cache, ids, chunk=512, stop=stop)
    assert session.prefill(cache, [1, 2]).logits(0).shape == (300,)


def test_a_stop_that_never_comes_changes_nothing(plain):
    session = plain.session()
    ids = plain.ids(30).tolist()
    expected = session.prefill(session.cache(1), ids).logits(0).copy()
    found = session.prefill(session.cache(1), ids, stop=lambda: False).logits(0)
    assert np.array_equal(found, expected)
    assert not [t for t in threading.enumerate() if t.name == "prefill-stop"]


def check_alive(model, session):
    ids = model.ids(5)
    output = session.prefill(session.cache(1), ids.tolist())
    check(output.logits(0), load_reference(model.source).logits(ids)[-1])


# Memory


@pytest.mark.parametrize(
    "said",
    [
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested "
        "buffer of size 617",
        "std::bad_alloc",
        "CUDA failure 2: out of memory ; GPU=0",
    ],
)
def test_a_step_without_memory_has_the_numbers(plain, monkeypatch, said):
    session = plain.session()
    cache = session.cache(2)

    def fail(binding, options):
        raise RuntimeError(said)

    inner = SimpleNamespace(io_binding=session._inner.io_binding, run_with_iobinding=fail)
    monkeypatch.setattr(session, "_inner", inner)
    with pytest.raises(OutOfMemoryError, match=r"needs about 0\.1 GB with 2 lanes, .* is free; "):
        session.step(cache, np.zeros(2, np.int64), np.zeros(2, np.int64))


def test_a_cache_without_memory_has_the_numbers(plain, monkeypatch):
    session = plain.session()

    def refuse(*arguments, **options):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("mmap.mmap", refuse)
    with pytest.raises(OutOfMemoryError, match="with 8 lanes"):
        session.cache(8)


def test_a_model_that_memory_does_not_do_for_is_not_called_broken(plain, monkeypatch):
    def fail(*arguments, capture):
        raise ModelError("model.onnx cannot be opened (std::bad_alloc); import the model again.")

    monkeypatch.setattr("explorer.engine.runtime.open_graph", fail)
    with pytest.raises(OutOfMemoryError, match="There is not enough memory: "):
        plain.session()


# Folders and devices


def test_what_a_session_says_of_itself(plain):
    session = plain.session()
    assert session.device == "cpu"
    assert session.device_name.startswith("CPU, ")
    assert session.reason == "The CPU was chosen."
    assert set(session.versions) == {"onnxruntime", "numpy"}
    assert session.manifest.layers == 3
    assert session.build.name == "cpu-fp32"


@pytest.fixture
def broken(plain, tmp_path):
    folder = make_builds(plain.source, tmp_path / "made", "cpu-fp32")

    def opened():
        with pytest.raises(ModelError) as raised:
            Session(folder, "cpu-fp32", "cpu", 1)
        message = str(raised.value)
        assert "\n" not in message
        assert message.endswith(".")
        return message

    return folder, opened


def test_a_missing_build_is_named(plain):
    with pytest.raises(ModelError, match="has no build cuda-fp16; it has: cpu-fp32, cpu-int4"):
        Session(plain.folder, "cuda-fp16")


@pytest.mark.parametrize("name", ["model.onnx", "weights.bin"])
def test_a_missing_file(broken, name):
    folder, opened = broken
    (folder / "cpu-fp32" / name).unlink()
    assert f"{name} is missing" in opened()


@pytest.mark.parametrize("name", ["model.onnx", "weights.bin"])
@pytest.mark.parametrize("length", [0, 700])
def test_a_truncated_file(broken, name, length):
    folder, opened = broken
    path = folder / "cpu-fp32" / name
    path.write_bytes(path.read_bytes()[:length])
    assert "cannot be opened" in opened()


def test_a_file_that_leads_elsewhere(broken, tmp_path):
    folder, opened = broken
    path = folder / "cpu-fp32/weights.bin"
    path.rename(tmp_path / "weights.bin")
    path.symlink_to(tmp_path / "weights.bin")
    assert "leads out of its folder" in opened()


@pytest.mark.parametrize("place", ["../weights.bin", "../../weights.bin", "{root}/weights.bin"])
def test_weights_outside_the_folder_are_not_read(broken, tmp_path, place):
    import onnx

    folder, opened = broken
    place = place.format(root=tmp_path)
    path = folder / "cpu-fp32/model.onnx"
    for target in (folder, tmp_path):
        (target / "weights.bin").write_bytes((folder / "cpu-fp32/weights.bin").read_bytes())
    model = onnx.load_model(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = place
    path.write_bytes(model.SerializeToString())
    assert "cannot be opened" in opened()


@pytest.mark.parametrize(
    "change", [{"layers": 2}, {"heads": 2}, {"context": 63}, {"vocabulary": 900}]
)
def test_a_graph_that_does_not_fit_its_manifest(broken, change):
    folder, opened = broken
    dataclasses.replace(Manifest.read(folder), **change).write(folder)
    assert "does not fit" in opened()


def test_a_foreign_graph(broken):
    from onnx import TensorProto, helper

    folder, opened = broken
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    (folder / "cpu-fp32/model.onnx").write_bytes(model.SerializeToString())
    assert "does not fit" in opened()


def test_an_id_outside_the_table_is_an_engine_error(plain):
    session = plain.session()
    with pytest.raises(EngineError, match="could not run"):
        session.prefill(session.cache(1), [5000])
    check_alive(plain, session)


def test_a_cpu_build_does_not_pretend_to_be_on_a_gpu(plain):
    with pytest.raises(DeviceError):
        Session(plain.folder, "cpu-fp32", "cuda")


@pytest.fixture(scope="module")
def half(plain, tmp_path_factory):
    return make_builds(plain.source, tmp_path_factory.mktemp("half"), "cuda-fp16")


def test_a_gpu_build_without_a_gpu_says_why(half, monkeypatch):
    facts = module.devices.Facts("Linux", True, "535.1", (module.devices.Gpu("T4", (7, 5)),))
    monkeypatch.setattr(module.devices, "probe", lambda provider: facts)
    with pytest.raises(DeviceError, match=r"cuda-fp16 needs a GPU: NVIDIA driver 535 found"):
        Session(half, "cuda-fp16")


def test_a_gpu_whose_provider_does_not_load_is_an_error_not_a_silent_cpu(half, monkeypatch):
    gpu = module.devices.Gpu("NVIDIA H200", (9, 0))
    facts = module.devices.Facts("Linux", True, "580.1", (gpu,))
    if module.devices.probe(True).driver is not None:
        pytest.skip("a GPU is really there")
    if "CUDAExecutionProvider" not in module.ort.get_available_providers():
        pytest.skip("this onnxruntime was built without CUDA")
    monkeypatch.setattr(module.devices, "probe", lambda provider: facts)
    with pytest.raises(DeviceError, match="CUDA did not start"):
        Session(half, "cuda-fp16")


def test_the_fp16_graph_computes_the_same_model(plain, half, monkeypatch):
    """On the CPU, which emulates it slowly: a check of the graph, not of the GPU's kernels."""
    monkeypatch.setattr(module, "choose", lambda *arguments: ("cpu", 0, "", "emulated"))
    session, ids = Session(half, "cuda-fp16", threads=1), plain.ids(50)
    exact = load_reference(plain.source).logits(ids)
    cache = session.cache(1)
    assert cache._arrays[0].dtype == np.float16
    prompt = session.prefill(cache, ids[:30].tolist(), rows="all")
    assert np.abs(all_logits(prompt) - exact[:30]).max() < 0.05
    for position in range(30, 50):
        output = session.step(cache, ids[[position]], np.array([position]))
        assert np.abs(output.logits(0) - exact[position]).max() < 0.05
