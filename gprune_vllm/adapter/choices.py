"""Remember which tokens of an image stay, so that the same ones stay when it is encoded again."""

from collections.abc import Sequence

import torch
from torch import Tensor
from vllm.config import VllmConfig
from vllm.utils.cache import LRUCache

from gprune_vllm.methods.selection import Selection, take
from gprune_vllm.plan import PlannedImage

MEMORY = 16 * 2**20
"""Bytes of remembered choices in a worker, at most."""
BLOCK = 512
"""Bytes that PyTorch's allocator for CUDA hands out at least. Counting whole blocks limits the entries too."""


class ChoiceMemory:
    """Which tokens of each image stay. The images that were not encoded for longest are forgotten first.

    The prefix cache may hold the keys and values of some of an image's kept tokens when the others are encoded again,
    in another batch. Features are rounded differently there, and a near-tie could go the other way.

    A choice takes four bytes for each kept token, and lies on the device where it was made: neither remembering nor
    recalling waits for the device. Ranks that see the same images in the same order remember the same.

    Args:
        limit: bytes, at most. With 0, nothing is remembered.
    """

    def __init__(self, limit: int = MEMORY) -> None:
        self._choices: LRUCache[PlannedImage, Tensor] = LRUCache(limit, _size)

    def __len__(self) -> int:
        return len(self._choices)

    @property
    def size(self) -> int:
        """Bytes in use."""
        return int(self._choices.currsize)

    def recall(self, image: PlannedImage, features: Sequence[Tensor]) -> list[Selection] | None:
        """Select the tokens that stayed before; None for an image that is not remembered.

        Args:
            features: of each group, `[tokens, size]`.
        """
        choice = self._choices.get(image)
        if choice is None:
            return None
        groups = choice.long().split([group.kept * group.copies for group in image.plan.groups])
        return [Selection(take(tokens, index), index) for tokens, index in zip(features, groups, strict=True)]

    def remember(self, image: PlannedImage, selections: Sequence[Selection]) -> None:
        """Keep the indices of each group's selection, unless they alone exceed the limit."""
        self._choices.put_if_fits(image, torch.cat([each.index for each in selections]).int())

    def clear(self) -> None:
        """Forget all."""
        self._choices.clear()


def _size(choice: Tensor) -> int:
    """Bytes that a choice takes of the limit."""
    return -(-choice.nbytes // BLOCK) * BLOCK


def memory_limit(vllm_config: VllmConfig) -> int:
    """Return the bytes of choices to remember: 0 where the tower has adapters, which score tokens differently.

    The model is not told which adapter is in use.
    """
    lora = vllm_config.lora_config
    return 0 if lora is not None and lora.enable_tower_connector_lora else MEMORY
