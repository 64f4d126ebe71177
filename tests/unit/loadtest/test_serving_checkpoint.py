"""The benchmark's checkpoint has crops and prompts of published models."""

import json
from dataclasses import replace
from pathlib import Path

from safetensors import safe_open
from transformers import AutoProcessor

from gprune_vllm.plan import PruneSpec, plan_tokens
from loadtest.serving.checkpoint import CROP, PINPOINTS, SIZE, write_checkpoint

SMALL = replace(SIZE, tower_layers=2, tower_intermediate=64, layers=1, hidden=128, intermediate=64)


def test_an_image_has_as_many_tokens_as_published_models_give_it(tmp_path: Path) -> None:
    from PIL import Image

    folder = write_checkpoint(tmp_path / "heavy", SMALL)
    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor(images=Image.new("RGB", (672, 672)), text="<image>What is it?", return_tensors="pt")
    image = json.loads((folder / "config.json").read_text())["image_token_index"]
    plan = plan_tokens((672, 672), PINPOINTS, CROP, 14, PruneSpec())
    assert (plan.input, plan.patches, plan.crops) == (2928, 2880, 5)
    assert int((inputs["input_ids"] == image).sum()) == plan.input
    assert tuple(inputs["pixel_values"].shape) == (1, 5, 3, CROP, CROP)


def test_it_is_written_once(tmp_path: Path) -> None:
    weights = write_checkpoint(tmp_path, SMALL) / "model.safetensors"
    written = weights.stat().st_mtime_ns
    assert write_checkpoint(tmp_path, SMALL) == tmp_path
    assert weights.stat().st_mtime_ns == written
    with safe_open(weights, framework="pt") as tensors:
        assert "vision_tower.vision_model.embeddings.patch_embedding.weight" in tensors.keys()  # noqa: SIM118
