"""LLaVA-NeXT under test. Its checkpoint is the demo model's."""

import torch
from transformers import LlavaNextForConditionalGeneration
from transformers.models.llava_next.modeling_llava_next import (
    get_anyres_image_grid_shape,
    image_size_to_num_patches,
    unpad_image,
)

from tests.support.oracle import Amount, Oracle, PrunedImage, Stage
from tests.support.oracle_methods import Group, Method, Variant, keep, shares


class LlavaNextOracle(Oracle):
    """Pruned images of LLaVA-NeXT."""

    model_class = LlavaNextForConditionalGeneration

    @torch.inference_mode()
    def tower_features(self, pixels: torch.Tensor, size: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Tower features of the base crop, [n, d], and of the unpadded grid, [h, w, d], for one image.

        `pixels` is [crops or more, 3, side, side], `size` (height, width) before any resizing.
        """
        (base, _, _), (grid, _, _) = self._tower(pixels, size)
        return base, grid

    def _tower(self, pixels: torch.Tensor, size: list[int]) -> list[tuple[torch.Tensor, ...]]:
        """Features, attention and keys, [n, ...] of the base crop and [h, w, ...] of the unpadded grid."""
        config, side = self.config, self.config.vision_config.image_size
        crops = image_size_to_num_patches(size, config.image_grid_pinpoints, side)
        down, across = get_anyres_image_grid_shape(size, config.image_grid_pinpoints, side)
        cells = side // config.vision_config.patch_size
        parts = []
        for values in self.read_layer(pixels[:crops]):
            grid = values[1:].view(down, across, cells, cells, -1)
            grid = grid.permute(4, 0, 2, 1, 3).flatten(1, 2).flatten(2, 3)  # [d, down * cells, across * cells]
            parts.append((values[0], unpad_image(grid, size).permute(1, 2, 0)))
        base, grids = zip(*parts, strict=True)
        return [base, grids]

    def prune_one(
        self,
        pixels: torch.Tensor,
        size: list[int],
        amount: Amount,
        stage: Stage,
        how: tuple[Method, Variant],
    ) -> PrunedImage:
        """One image; `pixels` and `size` as for `tower_features`."""
        project = self.model.model.multi_modal_projector
        tower_base, tower_grid = self._tower(pixels, size)
        height, width = tower_grid[0].shape[:2]
        groups, kept = [tower_base, [values.flatten(0, 1) for values in tower_grid]], []  # [n, ...] each
        columns = self.config.vision_config.image_size // self.config.vision_config.patch_size, width
        for (features, attention, keys), count, across in zip(
            groups, shares(len(groups[0][0]), height * width, *amount), columns, strict=True
        ):
            if stage == "projector":
                kept.append(keep(Group(project(features), attention[:, 0], keys, across), count, *how))
            else:
                index, features = keep(Group(features, attention[:, 0], keys, across), count, *how)
                kept.append((index, project(features)))
        (kept_base, base), (kept_cells, cells) = kept
        newline = self.model.model.image_newline
        embeddings = torch.cat((base, cells, newline.expand(height, -1)))
        rows = torch.arange(height)
        # Each row of the grid is followed by its newline, so it takes width + 1 places.
        cell_offsets = kept_cells // width * (width + 1) + kept_cells % width
        before = len(groups[0][0])
        offsets = torch.cat((kept_base, before + cell_offsets, before + rows * (width + 1) + width))
        order = offsets.argsort()
        length = before + height * (width + 1)
        return PrunedImage((kept_base, kept_cells), embeddings[order], offsets[order], length)
