"""What oracles of images in crops share: tiles and a thumbnail, with text between them."""

import re
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image

from tests.support.oracle import Amount, Oracle, PrunedImage, Stage
from tests.support.oracle_methods import Group, Method, Variant, keep, keep_count


class CropsOracle(Oracle):
    """Pruned images of which Transformers writes the text between the crops.

    Attributes:
        place: stands for an image in a prompt.
        token: stands for one of its tokens.
    """

    place: ClassVar[str]
    token: ClassVar[str]

    @abstractmethod
    def read(self, image: Image.Image) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], str]:
        """Of each crop what its tokens are scored on and their embeddings, [n, ...] each, and the text of the image."""

    def arrange(
        self,
        prompt: str,
        images: list[Image.Image],
        videos: Sequence[np.ndarray],
        amount: Amount,
        stage: Stage,
        how: tuple[Method, Variant],
    ) -> tuple[str, list[PrunedImage]]:
        (ratio, budget), pruned, rest = amount, [], iter(images)

        def placed(match: re.Match[str]) -> str:
            crops, text = self.read(next(rest))
            share = (ratio, None if budget is None else max(1, budget // len(crops)))
            pruned.extend(self.prune_one(crop, [], share, stage, how) for crop in crops)
            return re.sub(f"({re.escape(self.token)})+", self.token, text)

        return re.sub(re.escape(self.place), placed, prompt), pruned

    @torch.inference_mode()
    def prune_one(
        self, pixels: Any, size: list[int], amount: Amount, stage: Stage, how: tuple[Method, Variant]
    ) -> PrunedImage:
        """One crop; `pixels` as from `read`."""
        (features, embeddings), (ratio, budget) = pixels, amount
        count = keep_count(len(features), ratio) if budget is None else min(budget, len(features))
        early = stage == "vision" and how[0] != "tome"
        scored = features if early else embeddings
        index, kept = keep(Group(scored, features, features), count, *how)
        return PrunedImage((index,), embeddings[index] if early else kept, index, len(features))
