"""The way over a GPU, on a stand-in: buffers, captured graphs, refusals. Never the kernels."""

import os
import weakref

import numpy as np
import pytest

from explorer.core.errors import DeviceError, OutOfMemoryError
from explorer.core.recipe import Recipe
from explorer.engine import runtime as module
from explorer.engine.lanes import Lanes
from explorer.engine.messages import Start, Steps
from explorer.engine.scoring import score
from explorer.engine.session import Session
from explorer.engine.text.tokens import Tokens
from explorer.studies.quality import parity
from tests.builds import make_builds
from tests.engine.cuda_stand_in import NAME, CudaSession, plug_in
from tests.reference import load_reference, log_softmax
from tests.tiny import make_tiny

CONTEXT = 32


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_tiny(tmp_path_factory.mktemp("gpu"), context=CONTEXT, width=32, heads=4)


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    return make_builds(source, tmp_path_factory.mktemp("made"), "cuda-fp16")


@pytest.fixture
def cuda(monkeypatch):
    return plug_in(monkeypatch)


@pytest.fixture
def session(cuda, folder):
    return Session(folder, "cuda-fp16", threads=1)


@pytest.fixture(scope="module")
def ids():
    return np.random.default_rng(0).integers(0, 300, CONTEXT)


def logits(output, row=0):
    return output.logits(row).copy()


def filled(session, rows, prompt):
    """A cache whose rows all hold the prompt."""
    one, cache = session.cache(1), session.cache(max(rows, 2))
    session.prefill(one, prompt.tolist())
    for row in range(rows):
        session.copy_row(one, 0, cache, row, len(prompt))
    return cache


def test_what_it_is_and_how_it_was_asked_for(session, cuda):
    assert (session.device, session.device_name, session.reason) == ("cuda", NAME, "")
    wishes = {"device_id": "0", "enable_cuda_graph": "1", "enable_cudnn": "0", "use_tf32": "0"}
    assert cuda.asked == [wishes]
    assert os.environ["ORT_ENABLE_XQA"] == "0"
    assert cuda.entries == ["1"]  # no node may run on the CPU unnoticed


def test_prompt_copies_and_steps_compute_the_model(session, source, ids):
    exact = load_reference(source).logits(ids)
    whole = session.prefill(session.cache(1), ids[:20].tolist(), rows="all")
    assert np.abs(np.array([logits(whole, row) for row in range(20)]) - exact[:20]).max() < 0.05
    cache = filled(session, 3, ids[:20])
    for position in range(20, CONTEXT):
        tokens, positions = np.full(3, ids[position]), np.full(3, position)
        output = session.step(cache, tokens, positions)
        assert output.logsumexp.shape == (3,)
        for row in range(3):
            assert np.abs(logits(output, row) - exact[position]).max() < 0.05


def test_steps_have_sixteen_rows_and_one_graph_a_cache(session, cuda, ids):
    (inner,) = cuda.sessions
    inner.runs.clear()
    cache = session.cache(5)
    assert cache.rows == 16
    assert session.cache(17).rows == 17
    assert session.cache(1).rows == 1  # prompts take no more memory than they need
    for rows in (1, 5, 16, 3, 1):
        output = session.step(cache, ids[:rows], np.arange(1, rows + 1))
        assert len(output.top_ids) == len(output.top_logits) == len(output.logsumexp) == rows
    assert inner.runs == [2, 2, 2, 2, 2]  # the first was tried when the model was opened
    more = session.cache(17)
    session.step(more, ids[:17], np.arange(1, 18))
    session.step(more, ids[:8], np.arange(1, 9))
    session.step(session.cache(8), ids[:8], np.arange(1, 9))
    assert inner.runs[5:] == [3, 4, 5]  # other numbers or buffers, another graph
    assert all(total == CONTEXT for _, total in inner.captured.values())


def test_rows_that_a_step_left_over_are_idle_in_the_next(session, ids, monkeypatch):
    cache, seen = session.cache(8), []
    session.step(cache, ids[:8], np.arange(1, 9))
    idle = [0] * 13
    monkeypatch.setattr(session, "_run", seen.append)
    session.step(cache, ids[:3], np.arange(4, 7))
    (call,) = seen
    assert call.ids[:, 0].tolist() == [*ids[:3], *idle]
    assert call.positions[:, 0].tolist() == [4, 5, 6, *idle]
    assert call.seqlens.tolist() == [4, 5, 6, *idle]


def test_a_prompt_is_never_captured(session, cuda, ids):
    cuda.sessions[0].runs.clear()
    for n in (1, 7, 20):
        session.prefill(session.cache(1), ids[:n].tolist())
    assert set(cuda.sessions[0].runs) == {-1}
    assert not session.prompts_go_on  # kernels differ by size; nothing is tried either
    assert len(cuda.sessions[0].runs) == 3


def test_a_row_has_the_same_bits_alone_and_among_others(session, ids):
    def run(rows, row):
        cache, found = filled(session, rows, ids[:6]), []
        for position in range(6, 12):
            tokens = (ids[position] + np.arange(rows) - row) % 300
            output = session.step(cache, tokens, np.full(rows, position))
            found.append(output.logits(row).tobytes())
        return found

    assert run(1, 0) == run(3, 2) == run(8, 5)


def test_all_logits_stay_on_the_device_until_they_are_wanted(session, cuda, ids):
    cache = session.cache(2)
    output = session.step(cache, ids[:2], np.ones(2, np.int64))
    cuda.copied.clear()
    output = session.step(cache, ids[:2], np.ones(2, np.int64))
    small = 16 * (64 * 4 + 64 * 8 + 4)
    (once,) = cuda.copied
    assert small <= once < small + 3 * 256
    output.logits(0)
    output.logits(1)
    assert cuda.copied[1:] == [16 * 320 * 4]  # once, for all rows


def test_what_a_step_needs_goes_there_in_one_piece(session, cuda, ids):
    cache = session.cache(2)
    session.step(cache, ids[:2], np.ones(2, np.int64))
    cuda.sent.clear()
    session.step(cache, ids[:2], np.ones(2, np.int64))
    assert len(cuda.sent) == 1


def test_a_row_is_copied_by_one_run(session, cuda, ids):
    one, cache = session.cache(1), session.cache(2)
    session.prefill(one, ids[:4].tolist())
    session.copy_row(one, 0, cache, 1, 4)
    (copier,) = cuda.sessions[1:]
    assert copier.count == 1
    session.copy_row(one, 0, cache, 0, 4)
    assert copier.count == 2


def test_a_seed_repeats_alone_and_among_neighbours(cuda, folder, source):
    def tokens_of(company):
        session = Session(folder, "cuda-fp16", threads=1)
        lanes = Lanes(session, Tokens.from_folder(source))
        recipe = Recipe(max_tokens=20, end_of_text="never")
        for index in company:
            lanes.start(Start((1, index), index, 7, (10, 20, 30), recipe))
        found = {}
        while lanes.running:
            for event in lanes.step():
                if isinstance(event, Steps):
                    for key, token in zip(event.keys, event.tokens, strict=True):
                        found.setdefault(key[1], []).append(int(token))
        return found

    together = tokens_of(range(16))
    assert {len(tokens) for tokens in together.values()} == {20}
    for index in (0, 3, 15):
        assert tokens_of([index]) == {index: together[index]}


def test_checks_and_scores_run_there_too(session, source, ids):
    exact = load_reference(source).logits(ids)
    assert np.abs(parity.logits_of(session, ids.tolist()) - exact).max() < 0.05
    tokens = Tokens.from_folder(source)
    scores = score(session, tokens, "Once upon a time there was a king.")
    given = [tokens.start_of_text, *scores.ids]
    log_odds = log_softmax(load_reference(source).logits(np.array(given[:-1])))
    expected = log_odds[np.arange(len(scores.ids)), scores.ids]
    assert len(scores.ids) > 5
    assert np.abs(scores.logprobs - expected).max() < 0.05


def test_its_memory_is_measured_by_copies(session, cuda, monkeypatch):
    monkeypatch.setattr("explorer.engine.session._BUFFER", 1 << 16)
    assert session.copy_bandwidth() > 0
    copier = cuda.sessions[-1]
    assert copier.count == 5
    assert len({place for _, place in sorted(copier.bound.items()) if place}) == 2
    cuda.refusals = [RuntimeError("CUDA failure 2: out of memory")]
    with pytest.raises(OutOfMemoryError):
        session.copy_bandwidth()


# What a provider may do instead


def test_a_provider_that_cannot_capture_runs_without(cuda, folder, ids):
    cuda.refusals = [RuntimeError("This session cannot use the graph capture feature")]
    session = Session(folder, "cuda-fp16", threads=1)
    assert [asked["enable_cuda_graph"] for asked in cuda.asked] == ["1", "0"]
    session.step(session.cache(2), ids[:2], np.ones(2, np.int64))
    assert cuda.sessions[0].captured == {}
    assert session.reason == "Its steps cannot be captured as a graph, so they take longer."


def test_a_capture_that_fails_when_it_is_tried_is_done_without(cuda, folder, source, ids):
    cuda.stumbles = True
    session = Session(folder, "cuda-fp16", threads=1)
    assert [asked["enable_cuda_graph"] for asked in cuda.asked] == ["1", "0"]
    assert session.device == "cuda"
    assert session.reason == "Its steps cannot be captured as a graph, so they take longer."
    exact = load_reference(source).logits(ids[:7])[-1]
    output = session.step(filled(session, 2, ids[:6]), ids[[6, 6]], np.full(2, 6))
    assert np.abs(logits(output, 1) - exact).max() < 0.05


def test_weights_are_not_on_the_gpu_twice_where_it_is_opened_again(cuda, folder, monkeypatch):
    cuda.stumbles, alive, found = True, weakref.WeakSet(), []
    open_graph = module.open_graph

    def watched(*arguments, **options):
        cuda.sessions.clear()
        found.append(len(alive))
        opened = open_graph(*arguments, **options)
        alive.add(opened)
        return opened

    monkeypatch.setattr(module, "open_graph", watched)
    Session(folder, "cuda-fp16", threads=1)
    assert found == [0, 0]


def test_memory_that_runs_out_when_it_is_opened_again_is_said(cuda, folder, monkeypatch):
    cuda.stumbles = True
    open_graph = module.open_graph

    def full(*arguments, capture=True):
        if not capture:
            cuda.refusals = [RuntimeError("CUDA failure 2: out of memory")]
        return open_graph(*arguments, capture=capture)

    monkeypatch.setattr(module, "open_graph", full)
    with pytest.raises(OutOfMemoryError):
        Session(folder, "cuda-fp16", threads=1)


def test_a_kernel_that_fails_at_once_is_an_error_of_opening(cuda, folder, monkeypatch):
    failure = RuntimeError("CUDA failure 209: no kernel image is available for execution")

    def fail(self, binding, options=None):
        raise failure

    monkeypatch.setattr(CudaSession, "run_with_iobinding", fail)
    with pytest.raises(DeviceError, match="no kernel image"):
        Session(folder, "cuda-fp16")
    assert [asked["enable_cuda_graph"] for asked in cuda.asked] == ["1", "0"]


def test_a_provider_that_is_left_out_silently_is_an_error(cuda, folder):
    cuda.loads_as = "CPUExecutionProvider"
    with pytest.raises(DeviceError, match="CUDA did not start"):
        Session(folder, "cuda-fp16")


def test_a_model_that_does_not_fit_is_not_tried_twice(cuda, folder):
    cuda.refusals = [RuntimeError("CUDA failure 2: out of memory")]
    with pytest.raises(OutOfMemoryError, match="There is not enough memory"):
        Session(folder, "cuda-fp16")
    assert len(cuda.asked) == 1


def test_a_kernel_that_fails_names_the_gpu(session, cuda, ids, monkeypatch):
    def fail(binding, options):
        raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")

    monkeypatch.setattr(cuda.sessions[0], "run_with_iobinding", fail)
    with pytest.raises(DeviceError, match="illegal memory access"):
        session.step(session.cache(2), ids[:1], np.ones(1, np.int64))


def test_a_certain_gpu_is_used(cuda, folder):
    gpu = cuda.gpus[0]
    cuda.gpus = (gpu, module.devices.Gpu("NVIDIA L4", (8, 9), 24 << 30, 23 << 30))
    with pytest.raises(DeviceError):
        Session(folder, "cuda-fp16", "cuda:2")
    assert Session(folder, "cuda-fp16", "cuda:0").device_name == f"{NAME} (0)"
