"""The demo checkpoint: whole, loadable, and sensitive to what it sees."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from transformers import AutoImageProcessor, AutoTokenizer, LlavaNextForConditionalGeneration

from evaluation.demo.checkpoint import LanguageModel, Tower, printable, write_checkpoint
from evaluation.demo.tokenizer import SPECIAL_TOKENS, build_tokenizer
from tests.support.families.llava_next import LlavaNextOracle
from tests.support.oracle import Oracle
from tests.support.photos import generated, photos

# Lone surrogates are not text: UTF-8 cannot carry them.
TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.lists(st.sampled_from(SPECIAL_TOKENS)).map("".join)


@given(TEXT)
def test_any_text_comes_back(text: str) -> None:
    tokenizer = build_tokenizer()
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


@given(st.text(st.characters(codec="utf-8", exclude_characters="<")))
def test_text_is_one_token_a_byte(text: str) -> None:
    assert len(build_tokenizer().encode(text).ids) == len(text.encode())


def test_written_tokenizer_is_the_same(checkpoint: Path) -> None:
    text = "<s><|user|><image>\nNaïve café, 東京 🙂  \t</s>"
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    tokens = tokenizer(text)["input_ids"]
    assert tokens == build_tokenizer().encode(text).ids
    assert tokenizer.decode(tokens) == text
    assert tokenizer.decode(tokens, skip_special_tokens=True) == "\nNaïve café, 東京 🙂  \t"


@pytest.mark.parametrize("tower", ["clip", "siglip"])
@pytest.mark.parametrize("language_model", ["llama", "mistral", "qwen2"])
def test_transformers_finds_every_weight(tmp_path: Path, language_model: LanguageModel, tower: Tower) -> None:
    write_checkpoint(tmp_path, language_model=language_model, tower=tower)
    _, report = LlavaNextForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report


def test_weights_have_their_published_names(checkpoint: Path) -> None:
    with safe_open(checkpoint / "model.safetensors", framework="pt") as file:
        names = set(file.keys())
    assert "vision_tower.vision_model.embeddings.patch_embedding.weight" in names
    assert "language_model.model.layers.0.self_attn.q_proj.weight" in names
    assert {"language_model.lm_head.weight", "multi_modal_projector.linear_1.bias", "image_newline"} <= names
    assert not any(name.startswith(("model.", "lm_head.")) for name in names)


def test_same_seed_same_bytes(tmp_path: Path, checkpoint: Path) -> None:
    def weights(folder: Path) -> bytes:
        return (folder / "model.safetensors").read_bytes()

    assert weights(write_checkpoint(tmp_path / "again")) == weights(checkpoint)
    assert weights(write_checkpoint(tmp_path / "other", seed=1)) != weights(checkpoint)


def test_options_reach_the_files(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, dtype="bfloat16", grid_pinpoints=[(224, 112)], max_position_embeddings=512)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["image_grid_pinpoints"] == [[224, 112]]
    assert config["text_config"]["max_position_embeddings"] == 512
    assert AutoImageProcessor.from_pretrained(tmp_path).image_grid_pinpoints == [[224, 112]]
    assert LlavaNextForConditionalGeneration.from_pretrained(tmp_path).dtype == torch.bfloat16


def test_chat_template_keeps_the_order_of_parts(oracle: Oracle) -> None:
    image = generated(10, 10)
    assert oracle.chat("a", image, "b", image, system="Be brief.") == (
        "<s><|system|>Be brief.<|user|>a<image>\nb<image>\n<|assistant|>"
    )


def test_chat_template_takes_plain_text_and_earlier_turns(oracle: Oracle) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    assert oracle.processor.apply_chat_template(messages) == "<s><|user|>Hi<|assistant|>Ho</s>"
    messages.append({"role": "assistant", "content": ""})
    assert oracle.processor.apply_chat_template(messages).endswith("</s><|assistant|></s>")


def test_answers_depend_on_the_image(oracle: Oracle) -> None:
    images = [*photos(), *(generated(200, 150, seed) for seed in range(3))]
    answers = [oracle.generate([image], oracle.chat(image, "What is this?"), ratio=0) for image in images]
    assert len({tuple(token for token, _ in answer) for answer in answers}) == len(images)


def test_answers_are_printable_and_varied(oracle: Oracle) -> None:
    image = photos()[0]
    tokens = [token for token, _ in oracle.generate([image], oracle.chat(image), ratio=0, max_new_tokens=32)]
    assert len(tokens) == 32
    assert len(set(tokens)) > 8
    assert printable(build_tokenizer())[tokens].all()


@pytest.mark.parametrize("tower", ["clip", "siglip"])
def test_patches_of_photos_are_partly_similar(tmp_path: Path, tower: Tower) -> None:
    oracle = LlavaNextOracle(write_checkpoint(tmp_path, tower=tower))
    for photo in photos():
        inputs = oracle.processor.image_processor(photo, return_tensors="pt")
        base, _ = oracle.tower_features(inputs["pixel_values"][0], [photo.height, photo.width])
        unit = torch.nn.functional.normalize(base, dim=-1)
        assert 0.1 < (unit @ unit.T > 0.5).float().mean() < 0.9
