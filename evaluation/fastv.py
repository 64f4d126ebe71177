"""FastV: visual tokens dropped inside the language model, offline in Transformers.

Chen, Zhao, Liu, Bai, Lin, Zhou, Chang: "An Image is Worth 1/2 Tokens After Layer 2: Plug-and-Play Inference
Acceleration for Large Vision-Language Models", ECCV 2024, arXiv 2403.06764. It is a baseline for evaluation only: an
engine with a paged KV cache gives all layers of a request the same tokens, so that it cannot drop any mid-model, and no
server here offers this method.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import floor
from typing import Any

import torch
from torch import Tensor, nn

from evaluation.cost import LAYER
from evaluation.failure import EvaluationError


class FastV:
    """Drops visual tokens while a model in Transformers generates, batch size 1, `attn_implementation="eager"`.

    Layers from `layer` on see the visual tokens to which the prompt's last token attended most in the layer before,
    in the mean over heads, and all other tokens. Each keeps the position it had.

    Args:
        model: a `LlavaNextForConditionalGeneration`.
        ratio: fraction of the visual tokens, newlines among them, that is dropped.
        layer: how many layers see all tokens.
    """

    def __init__(self, model: Any, ratio: float, layer: int = LAYER) -> None:
        self._layers: list[nn.Module] = list(model.model.language_model.layers)
        if not 0 < layer < len(self._layers):
            raise EvaluationError(f"a model of {len(self._layers)} layers has none to prune after layer {layer}")
        self._ratio, self._layer = ratio, layer
        self._is_visual = torch.empty(0, dtype=torch.bool)
        self.kept = torch.empty(0, dtype=torch.int64)
        """Places in the prompt of the tokens that stayed, ascending."""

    @contextmanager
    def pruning(self, is_visual: Tensor) -> Iterator[None]:
        """Prune one prompt while it is answered inside.

        Args:
            is_visual: bool `[num_tokens]`, which tokens of the prompt are visual.
        """
        self._is_visual = is_visual
        observed: Any = self._layers[self._layer - 1]
        later = self._layers[self._layer :]
        hooks = [observed.self_attn.register_forward_hook(self._observe)]
        hooks += [layer.register_forward_pre_hook(self._shorten, with_kwargs=True) for layer in later]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _observe(self, module: nn.Module, arguments: Any, output: tuple[Tensor, Tensor]) -> None:
        """Choose the tokens that stay, once the prompt has passed the last layer that sees all."""
        attention = output[1]  # [1, heads, queries, keys]
        if attention.shape[2] > 1:
            received = attention[0, :, -1].float().mean(dim=0)  # [keys]
            self.kept = choose(received, self._is_visual, self._ratio)

    def _shorten(self, module: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Leave a later layer the tokens that stay."""
        hidden, *others = arguments  # hidden [1, tokens, hidden_size]
        if hidden.shape[1] == 1:  # an answered token: it sees all that is in this layer's cache
            return arguments, {**options, "attention_mask": None}
        if hidden.shape[1] > len(self.kept):
            hidden = hidden[:, self.kept]
        rotary = tuple(part[:, self.kept] for part in options["position_embeddings"])  # [1, kept, head_size] each
        mask = options["attention_mask"]  # [1, 1, tokens, tokens]
        mask = None if mask is None else mask[:, :, self.kept][..., self.kept]
        return (hidden, *others), {**options, "position_embeddings": rotary, "attention_mask": mask}


def choose(received: Tensor, is_visual: Tensor, ratio: float) -> Tensor:
    """The tokens that stay.

    Args:
        received: `[num_tokens]`, attention to each token.
        is_visual: bool `[num_tokens]`.
        ratio: fraction of the visual tokens that is dropped.

    Returns:
        int64 `[kept]`, ascending: tokens that are not visual, and the visual ones with the most attention.
    """
    visual = int(is_visual.sum())
    keep = floor(round((1 - ratio) * visual, 6))
    ranked = received.masked_fill(~is_visual, torch.inf)
    return ranked.topk(len(received) - visual + keep).indices.sort().values
