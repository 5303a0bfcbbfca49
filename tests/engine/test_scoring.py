"""Scoring against figures computed one token at a time."""

import numpy as np
import pytest

from explorer.core.errors import PromptError
from explorer.engine import scoring
from explorer.engine.scoring import score, score_windows
from explorer.engine.text import text_parts
from explorer.engine.text.tokens import Tokens
from tests.engine.fake_session import FakeSession
from tests.tiny import make_tiny

TEXT = "The lion and the mouse were in the house, né 🙂 — when the winter wind began to sing."


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return Tokens.from_folder(make_tiny(tmp_path_factory.mktemp("tiny")))


def plain(session, given, token):
    """Figures of ``token`` after the ids ``given``, straight from their definitions."""
    logits = session.prefill(session.cache(1), given).logits(0).astype(np.float64)
    logprobs = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    entropy = -(np.exp(logprobs) * logprobs).sum()
    return logprobs[token], order.index(token), entropy


@pytest.mark.parametrize("chunk", [256, 16, 5])
def test_every_token_is_scored_after_those_before_it(tokens, monkeypatch, chunk):
    monkeypatch.setattr(scoring, "CHUNK", chunk)
    session = FakeSession(context=128, end_of_text=tokens.end_of_text)
    result = score(session, tokens, TEXT)
    assert list(result.ids) == tokens.encode(TEXT)
    assert "".join(result.texts) == TEXT
    assert (result.windows, result.stride) == ((0,), 64)
    given = [tokens.end_of_text, *result.ids]
    for at, token in enumerate(result.ids):
        logprob, rank, entropy = plain(session, given[: at + 1], token)
        assert result.logprobs[at] == pytest.approx(logprob, abs=1e-5)
        assert result.ranks[at] == rank
        assert result.entropies[at] == pytest.approx(entropy, abs=1e-4)


@pytest.mark.parametrize(("context", "stride"), [(16, None), (16, 16), (16, 1), (16, 15), (7, 3)])
def test_beyond_the_context_windows_overlap_by_the_stride(tokens, context, stride):
    session = FakeSession(context=context, end_of_text=tokens.end_of_text)
    result = score(session, tokens, TEXT, stride)
    stride = stride or context // 2
    assert result.stride == stride
    given = [tokens.end_of_text, *result.ids]
    assert result.windows[:2] == (0, context)
    for at, token in enumerate(result.ids):
        window = max(n for n, first in enumerate(result.windows) if first <= at)
        seen = given[window * stride : at + 1]
        assert len(seen) <= context
        assert window == 0 or len(seen) > context - stride
        assert result.logprobs[at] == pytest.approx(plain(session, seen, token)[0], abs=1e-5)


def test_the_first_token_is_conditioned_on_end_of_text(tokens):
    session = FakeSession(context=64, end_of_text=tokens.end_of_text)
    result = score(session, tokens, "T")
    assert result.logprobs[0] == pytest.approx(
        plain(session, [tokens.end_of_text], result.ids[0])[0], abs=1e-5
    )


def test_calls_stay_below_the_memory_they_may_take(tokens, monkeypatch):
    monkeypatch.setattr(scoring, "_LOGITS_BYTES", 300 * 4 * 6)
    session = FakeSession(context=64, end_of_text=tokens.end_of_text)
    done = []
    score(session, tokens, TEXT[:30], progress=lambda n, total: done.append((n, total)))
    assert max(size for _, size in session.prefilled) == 6
    assert done[-1] == (done[-1][1], done[-1][1])
    assert [n for n, _ in done] == sorted(n for n, _ in done)


def test_an_id_that_is_never_drawn_adds_nothing_to_the_entropy(tokens):
    session = FakeSession(context=64, end_of_text=tokens.end_of_text)
    before = score(session, tokens, "The").entropies
    session.table[:, 290] = -np.inf
    session.logsumexp[:] = np.log(np.exp(session.table.astype(np.float64)).sum(1))
    after = score(session, tokens, "The").entropies
    assert np.isfinite(after).all()
    assert not np.array_equal(before, after)


def test_an_empty_text_has_no_tokens(tokens):
    session = FakeSession(end_of_text=tokens.end_of_text)
    result = score(session, tokens, "")
    assert (result.ids, result.texts, result.windows) == ((), (), ())
    assert session.prefilled == []


def test_what_cannot_be_scored(tokens, tmp_path):
    session = FakeSession(context=64, end_of_text=tokens.end_of_text)
    for stride in (0, 65, -1):
        with pytest.raises(PromptError, match="from 1 to 64"):
            score(session, tokens, "x", stride)
    without = Tokens.from_folder(make_tiny(tmp_path, end_of_text=False))
    with pytest.raises(PromptError, match="another model"):
        score(FakeSession(), without, "x")


@pytest.mark.parametrize("stride", [None, 3, 16])
@pytest.mark.parametrize("size", [5, 1 << 16])
def test_windows_come_one_by_one_with_the_same_figures(tokens, monkeypatch, stride, size):
    monkeypatch.setattr(text_parts, "_SIZE", size)
    session = FakeSession(context=16, end_of_text=tokens.end_of_text)
    text = TEXT * 4
    whole = score(session, tokens, text, stride)
    seen = []
    for window in score_windows(session, tokens, text, stride):
        assert window.windows == (len(seen),)
        seen += zip(
            window.ids, window.texts, window.logprobs, window.ranks, window.entropies, strict=True
        )
    columns = (whole.ids, whole.texts, whole.logprobs, whole.ranks, whole.entropies)
    assert seen == list(zip(*columns, strict=True))
    assert list(whole.ids) == tokens.encode(text)


def test_the_first_figures_come_before_the_rest_is_read(tokens):
    session = FakeSession(context=16, end_of_text=tokens.end_of_text)
    first = next(score_windows(session, tokens, TEXT * 10_000))
    assert len(first.ids) == 16
    assert sum(size for _, size in session.prefilled) == 16


def test_tokens_that_were_scored_before_need_no_logits(tokens):
    session = FakeSession(context=16, end_of_text=tokens.end_of_text)
    result = score(session, tokens, TEXT)
    assert len(result.windows) > 2
    assert session.full_rows == len(result.ids)


def test_ranks_are_those_of_the_whole_vocabulary(tokens):
    session = FakeSession(context=64, end_of_text=tokens.end_of_text)
    session.table[:, 7:200] = session.table[:, 7:8]  # as likely as each other
    order = np.argsort(-session.table, axis=1, kind="stable")[:, : session.top_ids.shape[1]]
    session.top_ids[:] = order
    session.top_logits[:] = np.take_along_axis(session.table, order, 1)
    result = score(session, tokens, TEXT)
    given = [tokens.end_of_text, *result.ids]
    for at, token in enumerate(result.ids):
        assert result.ranks[at] == plain(session, given[: at + 1][-64:], token)[1]
