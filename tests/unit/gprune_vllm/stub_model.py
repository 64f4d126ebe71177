"""Our model class around stubs: a tower of one layer, a linear projector, a language model that tells what it is given.

Everything between them, and so everything of ours, is the real thing; nothing here needs an engine or its weights.
"""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import unfold
from vllm.multimodal.inputs import MultiModalBatchedField, MultiModalFieldElem, MultiModalKwargsItem

from gprune_vllm.adapter.config import SETTINGS_ATTRIBUTE
from gprune_vllm.families.llava_next import GPruneLlavaNextForConditionalGeneration
from gprune_vllm.methods.registry import needs_attention, select_tokens
from gprune_vllm.plan import PlannedImage, TokenPlan
from gprune_vllm.settings import PruneSettings
from tests.unit.gprune_vllm.support import Geometry, Size, transformers_layout

VISION_SIZE, HEADS = 12, 3
MAX_TOKENS = 512
MAX_POSITION = 4096


class Attention(nn.Module):
    """Stands in for vLLM's `MMEncoderAttention`, which gets queries, keys and values of all heads side by side."""

    scale = 0.5

    def __init__(self, num_heads: int = HEADS) -> None:
        super().__init__()
        self.num_heads = num_heads

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query, key, value = (
            states.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for states in (query, key, value)
        )
        mixed = (query @ key.transpose(-1, -2) * self.scale).softmax(dim=-1) @ value
        return mixed.transpose(1, 2).flatten(-2)


class SelfAttention(nn.Module):
    """Stands in for `CLIPAttention`."""

    tp_size = 1

    def __init__(self) -> None:
        super().__init__()
        self.qkv_proj = nn.Linear(VISION_SIZE, 3 * VISION_SIZE)
        self.attn = Attention()

    def forward(self, states: Tensor) -> Tensor:
        mixed: Tensor = self.attn(*self.qkv_proj(states).chunk(3, dim=-1))
        return mixed


class Tower(nn.Module):
    """Patches, and a class token where there is one, attending to each other: `[crops, patches, VISION_SIZE]`.

    Records how many crops each call brings.
    """

    def __init__(self, patch_size: int, class_token: bool) -> None:
        super().__init__()
        self.patch_size, self.class_token = patch_size, class_token
        self.patches = nn.Linear(3 * patch_size**2, VISION_SIZE)
        layer = nn.Module()
        layer.self_attn = SelfAttention()
        self.vision_model = nn.Module()
        self.vision_model.encoder = nn.Module()
        self.vision_model.encoder.layers = nn.ModuleList([layer])
        self.attention = layer.self_attn
        self.calls: list[int] = []

    def states(self, pixels: Tensor) -> Tensor:
        """What the layer gets, the class token first."""
        patches = torch.tanh(self.patches(unfold(pixels, self.patch_size, stride=self.patch_size).transpose(1, 2)))
        return torch.cat((patches.mean(dim=1, keepdim=True), patches), dim=1) if self.class_token else patches

    def forward(self, pixels: Tensor, **_: Any) -> Tensor:
        self.calls.append(len(pixels))
        states = self.states(pixels)
        states = states + self.attention(states)
        patches: Tensor = states[:, 1:] if self.class_token else states
        return patches


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
    setattr(hf_config, SETTINGS_ATTRIBUTE, PruneSettings(**settings).model_dump())
    model.crop_limit = crop_limit
    with torch.device(device):
        class_token = hf_config.vision_feature_select_strategy == "default"
        model.vision_tower = Tower(hf_config.vision_config.patch_size, class_token)
        model.multi_modal_projector = Projector(hf_config.text_config.hidden_size)
        model.image_newline = nn.Parameter(torch.linspace(-9, 9, hf_config.text_config.hidden_size))
        model.language_model = LanguageModel(SimpleNamespace(model_config=SimpleNamespace(hf_config=hf_config)))
        model._language_model_names = ["language_model"]
        model.prepare(MAX_TOKENS)
    return model.requires_grad_(False)


def pixels_of(plan: TokenPlan, geometry: Geometry, seed: int = 0, padding: int = 0) -> Tensor:
    """Random crops of an image, `[crops + padding, 3, crop_size, crop_size]`, empty where padding."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(plan.units, 3, geometry.crop_size, geometry.crop_size, generator=generator)
    return torch.cat((pixels, torch.zeros(padding, *pixels.shape[1:])))


def image_item(
    geometry: Geometry, size: Size, ratio: float, seed: int = 0, padding: int = 0, method: int = 0
) -> MultiModalKwargsItem:
    """An image as the processor hands it to the model; `seed` names its pixels and its random draw."""
    plan = geometry.plan(size, ratio)
    row = torch.tensor(PlannedImage(plan, method, seed).row())
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
    image, size = PlannedImage.of(item["token_plan"].data.tolist()), tuple(item["image_sizes"].data.tolist())
    pixels = item["pixel_values"].data[: image.plan.units]
    features, project = model.vision_tower(pixels), model.multi_modal_projector
    early = model.settings.prune_stage == "vision"

    def lay_out(values: Tensor) -> Tensor:
        return transformers_layout(values, size, torch.full(values.shape[-1:], torch.inf), geometry)

    sequence = lay_out(features if early else project(features))
    wanted = needs_attention(model.settings.methods[image.method])
    seen = attention_of(model.vision_tower, pixels) if wanted else {}
    seen = {name: lay_out(values) for name, values in seen.items()}
    kept = sequence.isinf().all(dim=-1)  # newlines, which always stay
    groups = (~kept).nonzero().flatten().split([image.plan.groups[0].tokens, image.plan.groups[1].tokens])
    embeddings = model.image_newline.expand(len(sequence), -1).clone()
    for group, planned in zip(groups, image.plan.groups, strict=True):
        options = options_of(model, image, seen, group) | {"shape": (planned.rows, planned.columns)}
        selection = select_tokens(sequence[group], planned.kept, **options)
        kept[group[selection.index]] = True
        embeddings[group[selection.index]] = project(selection.features) if early else selection.features
    positions = kept.nonzero().flatten()
    return embeddings[positions], positions


def options_of(
    model: GPruneLlavaNextForConditionalGeneration, image: PlannedImage, seen: dict[str, Tensor], group: Tensor
) -> dict[str, Any]:
    """How `select_tokens` is to be called for a group of tokens."""
    of_tokens = {name: values[group].squeeze(-1) for name, values in seen.items()}
    options = model.settings.selector_options | {"seed": image.digest}
    return {"method": model.settings.methods[image.method], **of_tokens, **options}


def attention_of(tower: Tower, pixels: Tensor) -> dict[str, Tensor]:
    """What the tower's layer attends to, `[crops, patches, 1]`, and its keys, worked out crop by crop, head by head."""
    states = tower.states(pixels)
    query, key, _ = tower.attention.qkv_proj(states).unflatten(-1, (3, HEADS, -1)).unbind(dim=2)
    first = int(tower.class_token)
    received = torch.zeros(states.shape[:2])
    for head in range(HEADS):
        for crop in range(len(states)):
            weights = (query[crop, :, head] @ key[crop, :, head].T * Attention.scale).softmax(dim=-1)
            received[crop] += (weights[0] if tower.class_token else weights.mean(dim=0)) / HEADS
    return {"attention": received[:, first:].unsqueeze(-1), "keys": key.mean(dim=2)[:, first:]}
