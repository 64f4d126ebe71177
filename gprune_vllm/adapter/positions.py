"""Original positions of kept visual tokens, carried from the vision tower to the language model.

Which tokens stay is known only once the tower has run, but vLLM fixes a request's position ids before that. So each
visual token's position is fixed without regard to which tokens stay, and what it lacks travels with its embedding, in
trailing channels: vLLM caches embeddings and slices them for chunked prefill, and the channels with them. They leave
the embedding where it enters the prompt and are added to the positions where these are used.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from vllm.multimodal.inputs import PlaceholderRange
from vllm.utils.torch_utils import async_tensor_h2d

# bfloat16 holds integers up to 256 exactly, so an offset is split into two digits of this base.
_BASE = 128


def append_offsets(embeddings: Tensor, offsets: Tensor) -> Tensor:
    """Append each token's offsets to its embedding.

    Args:
        embeddings: `[num_tokens, size]`, any floating dtype.
        offsets: `[num_tokens, axes]` int64, below 128 * 256.

    Returns:
        `[num_tokens, size + 2 * axes]`, the embeddings' dtype.
    """
    digits = torch.stack((offsets // _BASE, offsets % _BASE), dim=-1).flatten(1)  # [num_tokens, 2 * axes]
    return torch.cat((embeddings, digits.to(embeddings.dtype)), dim=-1)


def split_offsets(embeddings: Tensor, size: int, axes: int) -> tuple[Tensor, Tensor]:
    """Undo `append_offsets`; embeddings without offset channels, of unpruned images, have offsets of zero.

    Returns:
        Embeddings `[num_tokens, size]` and offsets `[num_tokens, axes]` int64.
    """
    if embeddings.shape[-1] == size:
        return embeddings, torch.zeros(embeddings.shape[0], axes, dtype=torch.int64, device=embeddings.device)
    digits = embeddings[:, size:].long().unflatten(1, (axes, 2))  # [num_tokens, axes, 2]
    return embeddings[:, :size], digits[..., 0] * _BASE + digits[..., 1]


def embeds_of(place: PlaceholderRange) -> Tensor:
    """Tell which tokens of an image's section of the prompt are placeholders, `[length]` bool."""
    return torch.ones(place.length, dtype=torch.bool) if place.is_embed is None else place.is_embed


def run_ends(embeds: Tensor) -> Tensor:
    """Find the last placeholder of each run, `[tokens]` bool."""
    return embeds & ~torch.nn.functional.pad(embeds[1:], (0, 1), value=False)


def request_positions(num_tokens: int, placeholders: Sequence[tuple[int, int]]) -> tuple[Tensor, int]:
    """Positions of a prompt's tokens before the offsets of its visual tokens are known.

    Args:
        num_tokens: length of the prompt, pruned.
        placeholders: `(end, dropped)` of each run of placeholders: where it ends, and how many tokens were dropped.

    Returns:
        `[3, num_tokens]` int64, three equal rows as vLLM's M-RoPE wants them, and how far tokens that follow the
        prompt are moved.
    """
    positions = torch.arange(num_tokens)
    for end, dropped in placeholders:
        positions[end:] += dropped
    return positions.expand(3, -1), sum(dropped for _, dropped in placeholders)


class PositionOffsets(nn.Module):
    """The offsets of the tokens in the batch at hand, and the positions that result.

    Both are buffers of a module, allocated once: CUDA graphs replay their addresses, and vLLM's sleep mode saves a
    model's buffers and nothing else.

    Args:
        max_num_tokens: tokens in the largest batch.
        max_position: positions the rotary embedding knows; reading beyond its table would poison the KV cache.
        axes: positions of a token, 3 under M-RoPE.
    """

    def __init__(
        self, max_num_tokens: int, max_position: int, axes: int = 1, device: torch.device | None = None
    ) -> None:
        super().__init__()
        self._offsets: Tensor
        self._positions: Tensor
        for name in ("_offsets", "_positions"):
            # One token more, as in vLLM's own positions of M-RoPE: a slice has the strides that were compiled for.
            buffer = torch.zeros(axes, max_num_tokens + 1, dtype=torch.int64, device=device)
            self.register_buffer(name, buffer, persistent=False)
        self.axes = axes
        self._last_position = max_position - 1
        self._written = 0

    def write(self, offsets: Tensor, is_multimodal: Tensor) -> None:
        """Store the offsets of a batch's visual tokens.

        Args:
            offsets: `[num_visual_tokens, axes]` int64.
            is_multimodal: `[num_tokens]` bool, on the CPU, so that finding the tokens does not wait for the device.
        """
        self.clear()
        tokens = async_tensor_h2d(is_multimodal.nonzero().flatten(), device=self._offsets.device)
        self._offsets.index_copy_(1, tokens, offsets.T)
        self._written = is_multimodal.shape[0]

    def clear(self) -> None:
        """Forget the offsets of the last batch."""
        if self._written:
            self._offsets[:, : self._written].zero_()
            self._written = 0

    def move(self, positions: Tensor) -> Tensor:
        """Add the offsets to positions `[3, num_tokens]` of the batch.

        Returns:
            `[num_tokens]` int64, or under M-RoPE `[3, num_tokens]`.
        """
        num_tokens = positions.shape[-1]
        moved = self._positions[:, :num_tokens]
        torch.add(positions[: self.axes], self._offsets[:, :num_tokens], out=moved)
        moved.clamp_(max=self._last_position)
        return moved[0] if self.axes == 1 else moved
