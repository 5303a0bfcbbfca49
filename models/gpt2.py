"""GPT-2 in PyTorch, for training: names and orientation of its tensors are those of the files."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

END_OF_TEXT = "<|endoftext|>"
IGNORED = -100
"""Target of a position that is not predicted, as cross_entropy has it."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a GPT-2."""

    layers: int
    heads: int
    width: int
    context: int
    vocabulary: int


class Conv1D(nn.Module):
    """A linear layer with its weight stored as [in, out], as GPT-2 has it."""

    def __init__(self, inner: int, outer: int, deviation: float) -> None:
        """Draw the weight with the given standard deviation; the bias starts at zero."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inner, outer) * deviation)
        self.bias = nn.Parameter(torch.zeros(outer))

    def forward(self, x: Tensor) -> Tensor:
        """Return x W + b."""  # [..., inner] -> [..., outer]
        return x @ self.weight + self.bias


class Attention(nn.Module):
    """Causal self-attention over all heads at once."""

    def __init__(self, shape: Shape) -> None:
        """Make the projections; what writes to the residual stream starts smaller."""
        super().__init__()
        self.heads = shape.heads
        self.c_attn = Conv1D(shape.width, 3 * shape.width, 0.02)
        self.c_proj = Conv1D(shape.width, shape.width, 0.02 / math.sqrt(2 * shape.layers))

    def forward(self, x: Tensor) -> Tensor:
        """Let every position look at itself and those before it."""  # [B, S, W] -> [B, S, W]
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, self.heads, -1).transpose(1, 2)  # [B, H, S, D]
            for part in self.c_attn(x).split(width, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(mixed.transpose(1, 2).reshape(batch, length, width))


class MLP(nn.Module):
    """The feed-forward half of a block."""

    def __init__(self, shape: Shape) -> None:
        """Make the two projections, four times as wide inside."""
        super().__init__()
        self.c_fc = Conv1D(shape.width, 4 * shape.width, 0.02)
        self.c_proj = Conv1D(4 * shape.width, shape.width, 0.02 / math.sqrt(2 * shape.layers))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the tanh form of GELU between the two."""  # [B, S, W] -> [B, S, W]
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    """One layer: attention and feed-forward, each behind its norm."""

    def __init__(self, shape: Shape) -> None:
        """Make the four parts."""
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(shape.width), Attention(shape)
        self.ln_2, self.mlp = nn.LayerNorm(shape.width), MLP(shape)

    def forward(self, x: Tensor) -> Tensor:
        """Add both to the residual stream."""  # [B, S, W] -> [B, S, W]
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT2(nn.Module):
    """GPT-2 with the head tied to the token embedding."""

    def __init__(self, shape: Shape) -> None:
        """Draw all weights anew."""
        super().__init__()
        self.shape = shape
        self.wte = nn.Embedding(shape.vocabulary, shape.width)
        self.wpe = nn.Embedding(shape.context, shape.width)
        nn.init.normal_(self.wte.weight, std=0.02)
        nn.init.normal_(self.wpe.weight, std=0.01)
        self.h = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.ln_f = nn.LayerNorm(shape.width)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Return the summed negative log-likelihood of the targets."""  # [B, S], [B, S] -> []
        x = self.wte(ids) + self.wpe.weight[: ids.shape[1]]
        for block in self.h:
            x = block(x)
        logits = self.ln_f(x) @ self.wte.weight.T  # [B, S, V]
        return F.cross_entropy(
            logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )


def read_model(folder: Path) -> GPT2:
    """Read a GPT-2 folder in Hugging Face layout with tied embeddings."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    names = ("n_layer", "n_head", "n_embd", "n_positions", "vocab_size")
    model = GPT2(Shape(*(int(config[name]) for name in names)))
    tensors = {
        name.removeprefix("transformer."): tensor.float()
        for name, tensor in load_file(folder / "model.safetensors").items()
        if not name.endswith((".attn.bias", ".attn.masked_bias", "lm_head.weight"))
    }
    model.load_state_dict(tensors)
    return model


def write_model(folder: Path, model: GPT2, tokenizer: Tokenizer) -> None:
    """Write a GPT-2 folder: config.json, model.safetensors in fp16, tokenizer.json."""
    shape = model.shape
    end_of_text = tokenizer.token_to_id(END_OF_TEXT)
    config = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "n_embd": shape.width,
        "n_positions": shape.context,
        "n_ctx": shape.context,
        "vocab_size": shape.vocabulary,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "tie_word_embeddings": True,
    }
    tensors = {name: t.detach().cpu().half().contiguous() for name, t in model.state_dict().items()}
    if not all(bool(t.isfinite().all()) for t in tensors.values()):
        raise SystemExit("The weights do not fit into fp16; lower the rates.")
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "model.safetensors.part"
    save_file(tensors, part, metadata={"format": "pt"})
    part.replace(folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
