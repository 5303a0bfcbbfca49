"""Train the demonstration model, or measure one: an ordinary GPT-2 on plain text.

    python models/train.py --corpus A.txt.xz B.txt --output FOLDER            train anew, or go on
    python models/train.py --corpus A.txt.xz --output FOLDER --from OLD       start from weights
    python models/train.py --corpus A.txt.xz --evaluate FOLDER                only measure

A corpus is UTF-8 text, plain or xz, whose documents are separated by a line ``<|endoftext|>``.
Every 40th document of each file is held out, the first one included: neither the tokenizer nor the
weights see it.

**The held-out figure.** Each held-out document is tokenised by itself, put behind one
``<|endoftext|>`` and cut into windows of the full context that do not overlap; every token of it is
predicted once. Bits per byte are the summed negative log-likelihood over ln 2 over the UTF-8 bytes
of the documents, so models with different vocabularies can be compared. ``--evaluate`` repeats
exactly that, in fp32, for any GPT-2 folder with tied embeddings.

**The recipe.** Muon (Jordan 2024, https://kellerjordan.github.io/posts/muon) for the matrices in
the blocks, AdamW for embeddings, norms and biases; a short warm-up, a constant rate, a linear decay
over the last 35%. Progress is the larger share of ``--steps`` and ``--minutes``, so a run can be
fitted to the time there is. The folder is written, in fp16, whenever the held-out figure is the
best so far, and training stops early when it has not been for a while.

A checkpoint ``FOLDER/training.pt.part`` is written at each evaluation; the same command goes on
from it after an interruption, and it is removed at the end.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from gpt2 import END_OF_TEXT, GPT2, IGNORED, Shape, read_model, write_model
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn

HELD_OUT_EVERY = 40
WARM_UP_STEPS = 30
DECAY_SHARE = 0.35

Tokens = NDArray[np.uint16]


# The data


class Corpus(NamedTuple):
    """Documents for training, and those held out."""

    training: list[str]
    held_out: list[str]


def read_corpus(files: Sequence[Path]) -> Corpus:
    """Read the files and put every 40th document of each aside."""
    corpus = Corpus([], [])
    for file in files:
        opener = lzma.open if file.suffix == ".xz" else open
        with opener(file, "rt", encoding="utf-8") as stream:
            documents = [d.strip("\n") for d in stream.read().split(END_OF_TEXT + "\n")]
        for number, document in enumerate(d for d in documents if d):
            (corpus.training if number % HELD_OUT_EVERY else corpus.held_out).append(document)
    return corpus


def train_tokenizer(documents: Sequence[str], vocabulary: int) -> Tokenizer:
    """Train a byte-level BPE in GPT-2's form; ``<|endoftext|>`` is id 0."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, documents: Sequence[str]) -> list[Tokens]:
    """Return the ids of each document, ``<|endoftext|>`` in front."""
    start = tokenizer.token_to_id(END_OF_TEXT)
    found = []
    for first in range(0, len(documents), 16):  # in small groups: the encodings are large
        group = tokenizer.encode_batch(documents[first : first + 16])
        found += [np.array([start, *encoding.ids], dtype=np.uint16) for encoding in group]
    return found


def windows(documents: Sequence[Tokens], context: int) -> tuple[Tensor, Tensor]:
    """Cut documents into windows that predict each token once; short ones are padded."""
    rows = [
        document[first : first + context + 1]
        for document in documents
        for first in range(0, len(document) - 1, context)
    ]
    ids = torch.zeros(len(rows), context, dtype=torch.long)
    targets = torch.full((len(rows), context), IGNORED)
    for row, tokens in enumerate(rows):
        values = torch.from_numpy(tokens.astype(np.int64))
        ids[row, : len(values) - 1] = values[:-1]
        targets[row, : len(values) - 1] = values[1:]
    return ids, targets  # [N, C], [N, C]


def batches(stream: Tokens, context: int, batch: int, seed: int, skip: int) -> Iterator[Tensor]:
    """Yield [B, C + 1] for ever: the stream in random order, cut at another place in each epoch.

    What comes depends on the seed and the number of the step alone, so that a resumed run (``skip``
    steps are done) goes on where it was.
    """
    epoch = 0
    per_epoch = (len(stream) - context) // (context * batch)
    if per_epoch < 1:
        raise SystemExit(f"The corpus is too small: {len(stream)} tokens are less than one batch.")
    while True:
        if skip >= per_epoch:
            skip -= per_epoch
        else:
            random = np.random.default_rng([seed, epoch])
            start = int(random.integers(context))
            order = random.permutation((len(stream) - start - 1) // context)
            for number in range(skip, per_epoch):
                rows = order[number * batch : (number + 1) * batch] * context + start
                taken = np.stack([stream[row : row + context + 1] for row in rows])
                yield torch.from_numpy(taken.astype(np.int64))
            skip = 0
        epoch += 1


# Training


class Muon(torch.optim.Optimizer):
    """Momentum whose matrix updates are made orthogonal by five Newton-Schulz steps."""

    def __init__(self, params: Any, lr: float, momentum: float, weight_decay: float) -> None:
        """Take matrices only."""
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every matrix by its orthogonalised Nesterov momentum."""
        for group in self.param_groups:
            for p in group["params"]:
                buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                buffer.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(buffer, group["momentum"])
                # Queries, keys and values are three matrices that happen to be stored side by side.
                parts = (
                    update.split(p.shape[0], dim=1) if p.shape[1] == 3 * p.shape[0] else [update]
                )
                update = torch.cat([orthogonal(part) for part in parts], dim=1)
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"])


def orthogonal(matrix: Tensor) -> Tensor:
    """Return about the nearest semi-orthogonal matrix, scaled for its shape ([in, out])."""
    x = matrix.bfloat16() if matrix.is_cuda else matrix
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    x = x.T if tall else x
    return x.to(matrix.dtype) * max(1.0, matrix.shape[1] / matrix.shape[0]) ** 0.5


def optimizers(model: GPT2, args: argparse.Namespace) -> list[torch.optim.Optimizer]:
    """Give the matrices inside the blocks to Muon and all the rest to AdamW."""
    named = list(model.named_parameters())
    matrices = [p for name, p in named if name.startswith("h.") and p.ndim == 2]
    others = [p for name, p in named if not (name.startswith("h.") and p.ndim == 2)]
    return [
        Muon(matrices, lr=args.muon_rate, momentum=0.95, weight_decay=args.weight_decay),
        torch.optim.AdamW(others, lr=args.adam_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def rate(step: int, progress: float) -> float:
    """Return the share of the full learning rate at a step, at a progress of 0 to 1."""
    return min(1.0, (step + 1) / WARM_UP_STEPS, max(0.0, 1 - progress) / DECAY_SHARE)


@torch.no_grad()
def measure(model: nn.Module, held_out: tuple[Tensor, Tensor], device: str) -> tuple[float, int]:
    """Return the summed negative log-likelihood (nats) and the number of predicted tokens."""
    total, tokens = 0.0, 0
    for ids, targets in zip(*(part.split(16) for part in held_out), strict=True):
        total += float(model(ids.to(device), targets.to(device)))
        tokens += int((targets != IGNORED).sum())
    return total, tokens


def report(nats: float, tokens: int, size: int) -> dict[str, float]:
    """Return loss a token and bits per byte."""
    return {"loss": nats / tokens, "bits_per_byte": nats / math.log(2) / size}


def byte_count(documents: Sequence[str]) -> int:
    """Return the UTF-8 bytes of all documents."""
    return sum(len(document.encode()) for document in documents)


class Run:
    """One training run: what it trains, how far it is, and the best it has reached."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Read the corpus, and begin or go on."""
        self.args = args
        self.checkpoint = args.output / "training.pt.part"
        self.step, self.spent, self.best, self.worse = 0, 0.0, math.inf, 0
        corpus = read_corpus(args.corpus)
        saved = None
        if self.checkpoint.exists():
            saved = torch.load(self.checkpoint, map_location=args.device, weights_only=True)
        self.tokenizer, model = begin(args, corpus, saved)
        self.model = model.to(args.device)
        self.stream = np.concatenate(encode(self.tokenizer, corpus.training))
        self.held_out = windows(encode(self.tokenizer, corpus.held_out), model.shape.context)
        self.held_out_bytes = byte_count(corpus.held_out)
        self.optimizers = optimizers(model, args)
        self.half = torch.autocast(args.device, torch.bfloat16, enabled=args.device == "cuda")
        parameters = sum(p.numel() for p in model.parameters())
        self.say(
            f"{parameters:,} parameters, {len(self.stream):,} tokens to train on, "
            f"{self.held_out_bytes:,} bytes held out in {len(corpus.held_out)} documents"
        )
        if saved:
            for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
                optimizer.load_state_dict(state)
            self.step, self.spent, self.best = saved["step"], saved["spent"], saved["best"]
            self.worse = saved["worse"]
            self.say(f"going on at step {self.step} after {self.spent / 60:.1f} minutes")

    @staticmethod
    def say(line: str) -> None:
        """Print a line at once, also into a file."""
        print(line, flush=True)

    def train(self) -> None:
        """Train until the steps or the minutes are used up, or the held-out figure stays worse."""
        args, shape = self.args, self.model.shape
        data = batches(self.stream, shape.context, args.batch, args.seed, self.step)
        run: Any = torch.compile(self.model) if args.compile else self.model
        began = time.monotonic() - self.spent
        losses: list[Tensor] = []
        while True:
            progress = max(self.step / args.steps, self.spent / 60 / args.minutes)
            if progress >= 1 or (self.step and self.step % args.evaluate_every == 0):
                self.evaluate(losses)
                losses = []
                if progress >= 1 or self.worse >= args.patience:
                    break
                self.save()
            taken = next(data).to(args.device, non_blocking=True)  # [B, C + 1]
            with self.half:
                loss = run(taken[:, :-1], taken[:, 1:]) / (args.batch * shape.context)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.update(rate(self.step, progress))
            losses.append(loss.detach())
            self.step += 1
            self.spent = time.monotonic() - began
        self.checkpoint.unlink(missing_ok=True)
        self.say(f"best held-out bits per byte {self.best:.4f}, written to {args.output}")

    def update(self, share: float) -> None:
        """Let each optimizer step at this share of its full rate."""
        for optimizer, full in zip(
            self.optimizers, (self.args.muon_rate, self.args.adam_rate), strict=True
        ):
            for group in optimizer.param_groups:
                group["lr"] = full * share
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def evaluate(self, losses: Sequence[Tensor]) -> None:
        """Print where the run is, and write the folder if it is the best so far."""
        with self.half:
            nats, tokens = measure(self.model, self.held_out, self.args.device)
        figures = report(nats, tokens, self.held_out_bytes)
        seen = self.step * self.args.batch * self.model.shape.context
        mean = float(torch.stack(list(losses)).mean()) if losses else math.nan
        self.say(
            f"step {self.step}  {self.spent / 60:.1f} min  {seen / len(self.stream):.2f} epochs  "
            f"{seen / max(self.spent, 1e-9):,.0f} tokens/s  training loss {mean:.4f}  "
            f"held-out loss {figures['loss']:.4f}  bits per byte {figures['bits_per_byte']:.4f}"
        )
        self.worse += 1
        if figures["bits_per_byte"] < self.best:
            self.best, self.worse = figures["bits_per_byte"], 0
            write_model(self.args.output, self.model, self.tokenizer)

    def save(self) -> None:
        """Write the checkpoint by one rename."""
        state = {
            "model": self.model.state_dict(),
            "shape": asdict(self.model.shape),
            "tokenizer": self.tokenizer.to_str(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "spent": self.spent,
            "best": self.best,
            "worse": self.worse,
        }
        self.args.output.mkdir(parents=True, exist_ok=True)
        part = self.checkpoint.with_suffix(".new")
        torch.save(state, part)
        part.replace(self.checkpoint)


def begin(args: argparse.Namespace, corpus: Corpus, saved: Any) -> tuple[Tokenizer, GPT2]:
    """Return tokenizer and model: from a checkpoint, from a folder, or drawn anew."""
    if saved:
        tokenizer, model = Tokenizer.from_str(saved["tokenizer"]), GPT2(Shape(**saved["shape"]))
        model.load_state_dict(saved["model"])
    elif args.source:
        tokenizer = Tokenizer.from_file(str(args.source / "tokenizer.json"))
        model = read_model(args.source)
    else:
        tokenizer = train_tokenizer(corpus.training, args.vocabulary)
        sizes = (args.layers, args.heads, args.width, args.context, tokenizer.get_vocab_size())
        model = GPT2(Shape(*sizes))
    return tokenizer, model


def evaluate(args: argparse.Namespace) -> None:
    """Print loss and bits per byte of a folder on the held-out documents as one JSON line."""
    corpus = read_corpus(args.corpus)
    tokenizer = Tokenizer.from_file(str(args.evaluate / "tokenizer.json"))
    model = read_model(args.evaluate).to(args.device)
    held_out = windows(encode(tokenizer, corpus.held_out), model.shape.context)
    size = byte_count(corpus.held_out)
    nats, tokens = measure(model, held_out, args.device)
    figures = report(nats, tokens, size) | {"tokens": tokens, "bytes": size}
    print(json.dumps(figures | {"documents": len(corpus.held_out)}))


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and do what it says."""
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--corpus", type=Path, nargs="+", required=True, help="text files, plain or .xz")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--output", type=Path, help="folder to write the model into")
    what.add_argument(
        "--evaluate", type=Path, metavar="FOLDER", help="measure this one, no training"
    )
    add("--from", dest="source", type=Path, metavar="FOLDER", help="start from these weights")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--layers", type=int, default=6)
    add("--heads", type=int, default=8)
    add("--width", type=int, default=256)
    add("--context", type=int, default=512)
    add("--vocabulary", type=int, default=8192, help="tokens of the tokenizer, at most 65,536")
    add("--steps", type=int, default=1200)
    add("--minutes", type=float, default=math.inf, help="end after this time, decay included")
    add("--batch", type=int, default=16, help="windows of the full context a step")
    add("--muon-rate", type=float, default=0.02)
    add("--adam-rate", type=float, default=3e-3)
    add("--weight-decay", type=float, default=0.05)
    add("--evaluate-every", type=int, default=200, metavar="STEPS")
    add("--patience", type=int, default=3, help="stop after so many evaluations without a new best")
    add("--compile", action="store_true", help="let torch.compile make it faster")
    add("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch finds no CUDA device here; use --device cpu")
    if args.evaluate:
        evaluate(args)
    else:
        torch.manual_seed(args.seed)
        torch.set_float32_matmul_precision("high")
        Run(args).train()


if __name__ == "__main__":
    main()
