"""``config.json`` of a Hugging Face GPT-2: its sizes, and the switches that would make it another.

Names are those of transformers' ``GPT2Config``. Whatever the graph does not compute is refused
here, so that nothing converts into a model that is silently different.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from explorer.core.errors import CheckpointError
from explorer.weights.formats.untrusted_folder import Source, shown

FILE_NAME = "config.json"
ACTIVATIONS = ("gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python_tanh")
"""Names that transformers has for the activation of every released GPT-2: gelu in its tanh form."""
EXACT = ("gelu", "gelu_python")
"""Names that it has for gelu itself, made with the error function."""

_LIMIT = 1_000_000
_MAX_WIDTH = 1 << 15
"""Twenty times the largest release; weights are read some rows at a time, each as wide as this."""
# Switch -> the only value that plain GPT-2 has, which is also what an absent entry means. That
# attention is reordered and upcast only changes how the same is computed, so it is not among them.
_SWITCHES: dict[str, bool] = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "is_encoder_decoder": False,
}


@dataclass(frozen=True, slots=True)
class Config:
    """Sizes of a GPT-2."""

    layers: int
    heads: int
    width: int
    inner: int
    """Width inside the MLP."""
    context: int
    """Positions at most."""
    rows: int
    """Embedding rows; the tokenizer may know fewer tokens."""
    epsilon: float
    """Added to the variance in every layer norm."""
    ends: tuple[int, ...]
    """Every id that ``eos_token_id`` names, as it stands there; see special_tokens."""
    start: int | None
    """``bos_token_id``, as it stands there."""
    own_head: bool
    """``tie_word_embeddings`` is false: the embedding cannot serve as head."""
    file: str = FILE_NAME
    """Where these sizes were read."""
    exact_gelu: bool = False
    """The activation is gelu itself instead of its tanh form."""

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads


def read_config(source: Source) -> Config:
    """Read and check ``config.json``.

    Raises :class:`CheckpointError` that names the entry, what was found and what is expected.
    """
    values = source.json(FILE_NAME, _LIMIT)
    if not _is_old(values):
        _expect(values, "model_type", values.get("model_type"), "gpt2")
    activation = values.get("activation_function", ACTIVATIONS[0])
    if activation not in (*ACTIVATIONS, *EXACT):
        _expect(values, "activation_function", activation, ACTIVATIONS[0])
    for name, right in _SWITCHES.items():
        _expect(values, name, values.get(name, right), right)
    for name in ("pruned_heads", "quantization_config"):
        if values.get(name):
            raise CheckpointError(
                f"{FILE_NAME}: {name} is {shown(values[name])}, "
                "but only whole, unquantised GPT-2 weights can be converted."
            )
    old_name = "n_ctx" in values and "n_positions" not in values
    inner = None if values.get("n_inner") is None else _whole(values, "n_inner", 4 * _MAX_WIDTH)
    config = read_sizes(values, FILE_NAME, "vocab_size", "n_ctx" if old_name else "n_positions")
    return replace(
        config,
        inner=inner or config.inner,
        epsilon=_epsilon(values),
        ends=_ids(values.get("eos_token_id")),
        start=next(iter(_ids(values.get("bos_token_id"))), None),
        own_head=values.get("tie_word_embeddings") is False,
        exact_gelu=activation in EXACT,
    )


def read_sizes(values: dict[str, Any], file: str, rows_name: str, context_name: str) -> Config:
    """Return the sizes that every GPT-2 states, with all else as in the released ones.

    ``values`` is what ``file`` holds; rows and context go by other names in other layouts. Raises
    :class:`CheckpointError`.
    """
    layers = _whole(values, "n_layer", 10_000, file)
    heads = _whole(values, "n_head", 10_000, file)
    width = _whole(values, "n_embd", _MAX_WIDTH, file)
    context = _whole(values, context_name, 1 << 24, file)
    rows = _whole(values, rows_name, 1 << 24, file)
    if width % heads:
        raise CheckpointError(
            f"{file}: n_embd {width} cannot be divided by n_head {heads}, "
            "but every head must have the same width."
        )
    if context < 2:
        raise CheckpointError(f"{file}: {context_name} must be at least 2, found {context}.")
    return Config(layers, heads, width, 4 * width, context, rows, 1e-5, (), None, False, file)


def _is_old(values: dict[str, Any]) -> bool:
    """Return whether this is a config of 2019, which said neither what it is nor of what class."""
    return "n_embd" in values and not {"model_type", "architectures"} & values.keys()


def _expect(values: dict[str, Any], name: str, found: object, right: str | bool) -> None:
    if found != right or isinstance(found, bool) != isinstance(right, bool):
        seen = shown(found) if name in values else "nothing"
        raise CheckpointError(
            f"{FILE_NAME}: {name} must be {right!r} (nothing else can be converted), found {seen}."
        )


def _whole(values: dict[str, Any], name: str, high: int, file: str = FILE_NAME) -> int:
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
        found = shown(value) if name in values else "nothing"
        raise CheckpointError(
            f"{file}: {name} must be a whole number from 1 to {high}, found {found}."
        )
    return value


def _epsilon(values: dict[str, Any]) -> float:
    value = values.get("layer_norm_epsilon", 1e-5)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise CheckpointError(
            f"{FILE_NAME}: layer_norm_epsilon must be a number above 0 and at most 1, "
            f"found {shown(value)}."
        )
    return float(value)


def _ids(value: Any) -> tuple[int, ...]:
    """Return the ids that an entry names, which may be one or a list; what is no id is left out."""
    values = value if isinstance(value, list) else [value]
    return tuple(v for v in values if isinstance(v, int) and not isinstance(v, bool))
