"""Attention of the vision tower, watched in the layer whose output LLaVA reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from vllm.distributed import tensor_model_parallel_all_reduce


class TowerAttention:
    """Queries and keys of the tower's last layer; vLLM builds no layer behind the one that is read.

    Reads `MMEncoderAttention` in `CLIPAttention` and `SiglipAttention` (vLLM 0.32), behind their projections: whatever
    quantisation and adapters do to these is in the queries and keys.

    Args:
        tower: vLLM's `CLIPVisionModel` or `SiglipVisionModel`.
        class_token: whether a class token precedes the patches.
    """

    def __init__(self, tower: nn.Module, class_token: bool) -> None:
        last: Any = tower.vision_model.encoder.layers[-1]  # type: ignore[union-attr, index]
        self._attention = last.self_attn.attn
        self._shards: int = last.self_attn.tp_size  # ranks among which the heads are divided
        self._class_token = class_token
        self._watched: tuple[Tensor, Tensor] | None = None
        self._watching = False
        self._attention.register_forward_pre_hook(self._watch)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the tower while it runs inside."""
        self._watching = True
        try:
            yield
        finally:
            self._watching = False

    def _watch(self, module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        if self._watching:
            self._watched = arguments[0], arguments[1]

    def take(self) -> dict[str, Tensor]:
        """Return what was watched, once.

        Returns:
            `attention` `[crops, patches]`, of the class token, or without one the mean of all patches', and `keys`
            `[crops, patches, head_size]`; means over heads, float32.
        """
        assert self._watched is not None
        (query, key), self._watched = self._watched, None
        heads = self._attention.num_heads
        query, key = (states.unflatten(-1, (heads, -1)) for states in (query, key))  # [crops, tokens, heads, head_size]
        asking = query[:, :1] if self._class_token else query
        received = torch.stack([self._received(*crop) for crop in zip(asking, key, strict=True)])  # [crops, tokens]
        means = torch.cat((received.unsqueeze(-1), key.float().mean(dim=2)), dim=-1)  # [crops, tokens, 1 + head_size]
        if self._shards > 1:
            means = tensor_model_parallel_all_reduce(means) / self._shards
        means = means[:, 1:] if self._class_token else means
        return {"attention": means[..., 0], "keys": means[..., 1:]}

    def _received(self, query: Tensor, key: Tensor) -> Tensor:
        """Average the attention that each token of a crop gets over heads and queries.

        Args:
            query: `[queries, heads, head_size]`.
            key: `[tokens, heads, head_size]`.

        Returns:
            `[tokens]`, float32.
        """
        logits = torch.einsum("qhd,khd->hqk", query.float(), key.float()) * self._attention.scale
        received: Tensor = logits.softmax(dim=-1).mean(dim=(0, 1))
        return received
