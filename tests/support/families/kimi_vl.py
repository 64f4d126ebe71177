"""Kimi-VL under test.

Published checkpoints bring their processor as code, and Transformers has no class for the model. It has the next
model's, Kimi-K2.5, whose tower and projector make the same of one frame: that is the oracle.
"""

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import (
    AutoImageProcessor,
    AutoProcessor,
    BatchFeature,
    DeepseekV3Config,
    GenerationConfig,
    Kimi_K25Config,
    Kimi_K25ForConditionalGeneration,
    Kimi_K25ImageProcessor,
    Kimi_K25Processor,
    Kimi_K25VideoProcessor,
    PreTrainedConfig,
    ProcessorMixin,
)

from evaluation.demo.tokenizer import BEGIN, END, PAD, chat_template
from tests.support.families.checkpoint import TEXT, built, tokens_with, wrapped
from tests.support.oracle import Amount, Oracle, PrunedImage, Stage
from tests.support.oracle_methods import Group, Method, Variant, keep, keep_count

IMAGE = "<|media_start|>image<|media_content|><|media_pad|><|media_end|>"
PATCH, MERGE, MOST_PER_SIDE = 14, 2, 512
MOST_PATCHES = 1300
"""Photos are made smaller, and have no more tokens then than the square image that vLLM profiles."""
TOWER = {
    "patch_size": PATCH,
    "num_attention_heads": 2,
    "num_hidden_layers": 3,
    "hidden_size": 64,
    "intermediate_size": 128,
    "merge_kernel_size": [MERGE, MERGE],
}
EXPERTS = {
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 64,
    "n_group": 1,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "topk_group": 1,
}
LATENT = {"kv_lora_rank": 512, "q_lora_rank": None, "qk_nope_head_dim": 32, "qk_rope_head_dim": 64, "v_head_dim": 32}
"""Widths of multi-head latent attention. vLLM's kernel for CPUs knows these of the cache only, 512 and 64."""
NAMES = {
    r"^model\.language_model": "language_model.model",
    r"^lm_head": "language_model.lm_head",
    r"^model\.mm_projector\.in_proj": "mm_projector.proj.0",
    r"^model\.mm_projector\.out_proj": "mm_projector.proj.2",
    r"^model\.mm_projector": "mm_projector",
    r"^model\.vision_tower\.layers\.(\d+)\.mlp\.fc1": r"vision_tower.encoder.blocks.\1.mlp.fc0",
    r"^model\.vision_tower\.layers\.(\d+)\.mlp\.fc2": r"vision_tower.encoder.blocks.\1.mlp.fc1",
    r"^model\.vision_tower\.layers\.(\d+)\.norm1": r"vision_tower.encoder.blocks.\1.norm0",
    r"^model\.vision_tower\.layers\.(\d+)\.norm2": r"vision_tower.encoder.blocks.\1.norm1",
    r"^model\.vision_tower\.layers\.(\d+)\.attn\.proj": r"vision_tower.encoder.blocks.\1.wo",
    r"^model\.vision_tower\.layers\.(\d+)\.attn\.q_proj": r"vision_tower.encoder.blocks.\1.wqkv",
    r"^model\.vision_tower\.final_layernorm": "vision_tower.encoder.final_layernorm",
    r"^model\.vision_tower\.patch_embed\.pos_emb\.position_embeddings": "vision_tower.patch_embed.pos_emb.weight",
    r"^model\.vision_tower": "vision_tower",
}
"""Names of the weights in Transformers, and in published checkpoints of Kimi-K2.5."""
KIMI_VL_NAMES = {
    r"^mm_projector\.proj\.0": "multi_modal_projector.linear_1",
    r"^mm_projector\.proj\.2": "multi_modal_projector.linear_2",
    r"^mm_projector": "multi_modal_projector",
}
"""Names in published checkpoints of Kimi-K2.5, and in those of Kimi-VL where they differ."""


class KimiVLConfig(PreTrainedConfig):
    """Configuration by the names of published checkpoints, which vLLM reads with a class of its own."""

    model_type = "kimi_vl"


class KimiVLImageProcessor(Kimi_K25ImageProcessor):
    """Resizes and cuts as the next model's processor does, under the names that vLLM asks for."""

    def __init__(self, in_token_limit: int = 4096, merge_kernel_size: tuple[int, int] = (2, 2), **kwargs: Any) -> None:
        self.in_token_limit, self.merge_kernel_size = in_token_limit, merge_kernel_size
        super().__init__(**kwargs | {"max_patches": in_token_limit, "merge_size": merge_kernel_size[0]})

    def _preprocess(self, *args: Any, **kwargs: Any) -> BatchFeature:
        output = super()._preprocess(*args, **kwargs)
        return BatchFeature({"pixel_values": output["pixel_values"], "image_grid_hws": output["image_grid_thw"][:, 1:]})


class KimiVLProcessor(ProcessorMixin):
    """Writes as many placeholders as an image has tokens."""

    image_token = "<|media_pad|>"

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None) -> None:
        super().__init__(image_processor, tokenizer, chat_template=chat_template)

    def replace_image_token(self, image_inputs: Any, image_idx: int, **kwargs: Any) -> str:
        return self.image_token * int(image_inputs["image_grid_hws"][image_idx].prod() // MERGE**2)


AutoImageProcessor.register(KimiVLConfig, image_processor_classes={"torchvision": KimiVLImageProcessor})
AutoProcessor.register(KimiVLConfig, KimiVLProcessor)


class KimiVLOracle(Oracle):
    """Pruned images of Kimi-VL."""

    model_class = Kimi_K25ForConditionalGeneration

    def __init__(self, checkpoint: str | Path, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(Path(checkpoint) / "transformers", dtype)

    def pixels(self, images: list[Any]) -> list[Any]:
        return [self.processor.image_processor(image, return_tensors="pt") for image in images]

    def prune_one(
        self, pixels: Any, size: list[int], amount: Amount, stage: Stage, how: tuple[Method, Variant]
    ) -> PrunedImage:
        caught: list[torch.Tensor] = []
        norm = self.model.model.vision_tower.final_layernorm
        handle = norm.register_forward_hook(lambda _, inputs, __: caught.append(inputs[0]))
        outputs = self.model.model.get_image_features(**pixels).pooler_output
        handle.remove()
        _, rows, columns = pixels["image_grid_thw"][0].tolist()
        patches = caught[0].view(rows // MERGE, MERGE, columns // MERGE, MERGE, -1)
        (embeddings,), features = outputs, patches.transpose(1, 2).flatten(2).flatten(0, 1)  # [tokens, 4 * size]
        ratio, budget = amount
        count = keep_count(len(features), ratio) if budget is None else min(budget, len(features))
        early = stage == "vision" and how[0] != "tome"
        scored = features if early else embeddings
        index, kept = keep(Group(scored, features, features), count, *how)
        return PrunedImage((index,), embeddings[index] if early else kept, index, len(features))


def write_kimi_vl(folder: Path) -> Path:
    """Write a Kimi-VL of a few megabytes, with the same weights as a Kimi-K2.5 in a folder inside for the oracle."""
    tokenizer = tokens_with("<|media_start|>", "<|media_content|>", "<|media_pad|>", "<|media_end|>")
    text = TEXT | EXPERTS | LATENT | {"vocab_size": tokenizer.get_vocab_size(), "num_key_value_heads": 4}
    decoder = DeepseekV3Config(**{name: value for name, value in text.items() if name != "head_dim"})
    config = Kimi_K25Config(
        architectures=["Kimi_K25ForConditionalGeneration"],
        text_config=decoder,
        vision_config=TOWER,
        projection_hidden_size=TOWER["hidden_size"],
        image_token_id=tokenizer.token_to_id("<|media_pad|>"),
        tie_word_embeddings=False,
        dtype="float32",
    )
    shape: dict[str, Any] = {"patch_size": PATCH, "size": {"max_height": MOST_PER_SIDE, "max_width": MOST_PER_SIDE}}
    template = chat_template(IMAGE)
    processor = Kimi_K25Processor(
        Kimi_K25ImageProcessor(max_patches=MOST_PATCHES, merge_size=MERGE, **shape),
        wrapped(tokenizer),
        Kimi_K25VideoProcessor(),
        chat_template=template,
    )
    model = built(Kimi_K25ForConditionalGeneration, config, tokenizer)
    weights = _published(model.state_dict())
    config.save_pretrained(folder / "transformers")
    processor.save_pretrained(folder / "transformers")
    save_file(weights, folder / "transformers" / "model.safetensors", {"format": "pt"})
    save_file(_renamed(weights, KIMI_VL_NAMES), folder / "model.safetensors", {"format": "pt"})
    KimiVLConfig(
        architectures=["KimiVLForConditionalGeneration"],
        text_config=decoder.to_dict() | {"scoring_func": "sigmoid", "topk_method": "noaux_tc", "moe_layer_freq": 1},
        vision_config=TOWER | {"model_type": "moonvit"},
        media_placeholder_token_id=config.image_token_id,
        dtype="float32",
    ).save_pretrained(folder)
    GenerationConfig(pad_token_id=PAD, bos_token_id=BEGIN, eos_token_id=END).save_pretrained(folder)
    KimiVLProcessor(
        KimiVLImageProcessor(MOST_PATCHES, (MERGE, MERGE), **shape), wrapped(tokenizer), template
    ).save_pretrained(folder)
    return folder


def _published(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights as published: a matrix for each expert, and one for the queries, keys and values of the tower.

    Transformers reads this format. It also means to write it, but takes the decoder's queries for those of the tower.
    """
    parts: dict[str, torch.Tensor] = {}
    for name, weight in weights.items():
        if "vision_tower" in name and "q_proj" in name:
            parts[name] = torch.cat([weights[name.replace("q_proj", f"{part}_proj")] for part in "qkv"])
        elif name.endswith("experts.gate_up_proj"):
            for expert, (gate, up) in enumerate(each.chunk(2) for each in weight):
                kinds = {
                    "gate_proj": gate,
                    "up_proj": up,
                    "down_proj": weights[name.replace("gate_up", "down")][expert],
                }
                parts |= {name.replace("gate_up_proj", f"{expert}.{kind}.weight"): part for kind, part in kinds.items()}
        elif not re.search(r"vision_tower.*[kv]_proj|\.experts\.down_proj$", name):
            parts[name] = weight
    return _renamed(parts, NAMES)


def _renamed(weights: dict[str, torch.Tensor], names: dict[str, str]) -> dict[str, torch.Tensor]:
    renamed = {}
    for name, weight in weights.items():
        for pattern, other in names.items():
            name = re.sub(pattern, other, name)
        renamed[name] = weight.contiguous()
    return renamed
