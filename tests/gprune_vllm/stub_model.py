"""Our model class around stubs: a tower of one layer, a linear projector, a language model that tells what it is given.

Everything between them, and so everything of ours, is the real thing; nothing here needs an engine or its weights.
"""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import unfold
from vllm.multimodal.inputs import MultiModalBatchedField, MultiModalFieldElem, MultiModalKwargsItem

from gprune_vllm.model import GPruneLlavaNextForConditionalGeneration
from gprune_vllm.plan import TokenPlan
from gprune_vllm.positions import PositionOffsets
from gprune_vllm.selectors import select_tokens
from gprune_vllm.settings import PruneSettings
from tests.gprune_vllm.support import Geometry, Size, transformers_layout

VISION_SIZE = 12
MAX_TOKENS = 512
MAX_POSITION = 4096


class Tower(nn.Module):
    """Patches, each mapped on its own: `[crops, patches, VISION_SIZE]`. Records how many crops each call brings."""

    def __init__(self, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.patches = nn.Linear(3 * patch_size**2, VISION_SIZE)
        self.calls: list[int] = []

    def forward(self, pixels: Tensor, **_: Any) -> Tensor:
        self.calls.append(len(pixels))
        return torch.tanh(self.patches(unfold(pixels, self.patch_size, stride=self.patch_size).transpose(1, 2)))


class Projector(nn.Linear):
    """Records how many tokens each call brings."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__(VISION_SIZE, hidden_size)
        self.calls: list[int] = []

    def forward(self, features: Tensor) -> Tensor:
        self.calls.append(features.shape[:-1].numel())
        return super().forward(features)


class Decoder(nn.Module):
    """Stands in for the decoder layers: returns what it is called with."""

    def forward(self, input_ids: Any, positions: Tensor, intermediate: Any, inputs_embeds: Any) -> Any:
        return input_ids, positions.clone(), None if inputs_embeds is None else inputs_embeds.clone()


class LanguageModel(nn.Module):
    """A table of token embeddings, and the decoder."""

    def __init__(self, vllm_config: Any, prefix: str = "") -> None:
        super().__init__()
        config = vllm_config.model_config.hf_config.text_config
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.model = Decoder()

    def embed_input_ids(self, input_ids: Tensor) -> Tensor:
        embedded: Tensor = self.embeddings(input_ids)
        return embedded

    def forward(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        raise NotImplementedError("our model calls the decoder alone")


def stub_model(
    hf_config: Any, crop_limit: int = 1000, device: str = "cpu", **settings: Any
) -> GPruneLlavaNextForConditionalGeneration:
    """Our model with what its constructor would have set, and the stubs in place of the rest."""
    torch.manual_seed(0)
    model = GPruneLlavaNextForConditionalGeneration.__new__(GPruneLlavaNextForConditionalGeneration)
    nn.Module.__init__(model)
    model.config, model.select_layers = hf_config, None
    model.configure_mm_token_handling(hf_config.text_config.vocab_size, [hf_config.image_token_index])
    model.settings, model.crop_limit = PruneSettings(**settings), crop_limit
    model.timer, model.offsets = None, None
    with torch.device(device):
        model.vision_tower = Tower(hf_config.vision_config.patch_size)
        model.multi_modal_projector = Projector(hf_config.text_config.hidden_size)
        model.image_newline = nn.Parameter(torch.linspace(-9, 9, hf_config.text_config.hidden_size))
        model.language_model = LanguageModel(SimpleNamespace(model_config=SimpleNamespace(hf_config=hf_config)))
        model._language_model_names = ["language_model"]
        if model.settings.prune_positions == "original":
            model.offsets = PositionOffsets(MAX_TOKENS, MAX_POSITION)
    return model.requires_grad_(False)


def pixels_of(plan: TokenPlan, geometry: Geometry, seed: int = 0, padding: int = 0) -> Tensor:
    """Random crops of an image, `[crops + padding, 3, crop_size, crop_size]`, empty where padding."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(plan.crops, 3, geometry.crop_size, geometry.crop_size, generator=generator)
    return torch.cat((pixels, torch.zeros(padding, *pixels.shape[1:])))


def image_item(geometry: Geometry, size: Size, ratio: float, seed: int = 0, padding: int = 0) -> MultiModalKwargsItem:
    """An image as the processor hands it to the model; `seed` names its pixels and its random draw."""
    plan = geometry.plan(size, ratio)
    row = torch.tensor([*(getattr(plan, name) for name in plan.__slots__), seed])
    pixels = pixels_of(plan, geometry, seed, padding)
    fields = {"pixel_values": pixels, "image_sizes": torch.tensor(size), "token_plan": row}
    return MultiModalKwargsItem(
        {
            name: MultiModalFieldElem(data=value, field=MultiModalBatchedField(keep_on_cpu=value is not pixels))
            for name, value in fields.items()
        }
    )


def expected_image(
    model: GPruneLlavaNextForConditionalGeneration, item: MultiModalKwargsItem, geometry: Geometry
) -> tuple[Tensor, Tensor]:
    """Embeddings and unpruned positions of the tokens an image keeps, from the sequence Transformers lays out."""
    *fields, seed = item["token_plan"].data.tolist()
    plan, size = TokenPlan(*fields), tuple(item["image_sizes"].data.tolist())
    features = model.vision_tower(item["pixel_values"].data[: plan.crops])
    projected = model.multi_modal_projector(features)
    judged = features if model.settings.prune_stage == "vision" else projected
    newline = torch.full(judged.shape[-1:], torch.inf)
    sequence = transformers_layout(judged, size, newline, geometry)
    is_newline = sequence.isinf().all(dim=-1)
    patches = (~is_newline).nonzero().flatten()
    kept = is_newline.clone()
    options = {"seed": seed, **model.settings.selector_options}
    for group, keep in ((patches[: plan.base_tokens], plan.base_kept), (patches[plan.base_tokens :], plan.grid_kept)):
        kept[group[select_tokens(sequence[group], keep, model.settings.prune_method, **options)]] = True
    positions = kept.nonzero().flatten()
    return transformers_layout(projected, size, model.image_newline, geometry)[positions], positions
