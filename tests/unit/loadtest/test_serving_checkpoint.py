"""The benchmark's model has crops and prompts of published models."""

import json
from pathlib import Path

from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, LlavaNextConfig

from loadtest.serving.checkpoint import SHAPE, served


def test_an_image_has_as_many_tokens_as_published_models_give_it(tmp_path: Path) -> None:
    folder, *flags = served(None, tmp_path / "heavy")
    assert flags == ["--load-format", "dummy"]
    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor(images=Image.new("RGB", SHAPE.picture), text="<image>What is it?", return_tensors="pt")
    image = json.loads((Path(folder) / "config.json").read_text())["image_token_index"]
    plan = SHAPE.plan(0)
    assert (plan.input, plan.patches, plan.units) == (2928, 2880, 5)
    assert int((inputs["input_ids"] == image).sum()) == plan.input
    assert tuple(inputs["pixel_values"].shape) == (1, 5, 3, 336, 336)


def test_the_decoder_is_as_large_as_reports_say(tmp_path: Path) -> None:
    config = LlavaNextConfig.from_pretrained(served(None, tmp_path)[0])
    language = AutoModelForImageTextToText.from_config(config).model.language_model
    assert round(sum(weight.numel() for weight in language.layers.parameters()) / 1e6) == 49


def test_another_model_is_served_as_it_is(tmp_path: Path) -> None:
    assert served("mine", tmp_path / "none") == ["mine"]
