"""What vLLM's tests find where they run: our checkpoint under the names of the models that they ask for, an adapter of
it, images under the names of those that they would fetch, and servers."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from evaluation.demo.checkpoint import write_checkpoint
from tests.engine.conformance.commands import ADAPTERS, MODELS, commands
from tests.engine.conformance.suite import Suite
from tests.support.photos import china, flower, generated, grace_hopper

COMMIT = "0" * 40

VOCABULARY = 8192  # tests name token ids up to 5000
POSITIONS = 16384
BEGIN = {"id": "<s>", "type_id": 0}
STOP = 55  # the letter Q ends answers, which the seed's model would not end by itself


def write_stage(folder: Path, suites: Sequence[Suite], thorough: bool) -> None:
    """Write all of it into a folder that is empty.

    Args:
        suites: that are run. The first server that one of them needs is started at once.
        thorough: whether tests that do not apply are run as well.
    """
    model = write_model(folder / "model")
    adapter = write_adapter(folder / "adapter")
    for name in MODELS:
        publish(folder, name, model)
    for name in ADAPTERS:
        publish(folder, name, adapter)
    write_images(folder / "assets" / "vllm_public_assets")
    servers = commands(snapshot(folder, ADAPTERS[0]), POSITIONS, VOCABULARY)
    first = next((suite.server for suite in suites if suite.server), "")
    script = {"servers": servers, "first": first, "thorough": thorough, "suites": [asdict(suite) for suite in suites]}
    (folder / "script.json").write_text(json.dumps(script))


def environment(folder: Path) -> dict[str, str]:
    """What leads programs to the stage."""
    return {
        "CONFORMANCE_STAGE": str(folder),
        "HF_HOME": str(folder),
        "HF_HUB_OFFLINE": "1",
        "VLLM_ASSETS_CACHE": str(folder / "assets"),
    }


def write_model(folder: Path) -> Path:
    """The tests' checkpoint, more like published ones: its vocabulary has thousands, and its tokenizer writes `<s>`."""
    write_checkpoint(folder, max_position_embeddings=POSITIONS)
    weights = load_file(folder / "model.safetensors")
    for name in ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight"):
        weights[name] = torch.nn.functional.pad(weights[name], (0, 0, 0, VOCABULARY - len(weights[name])))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    change(folder / "config.json", lambda config: config["text_config"].update(vocab_size=VOCABULARY))
    change(folder / "tokenizer.json", lambda tokenizer: tokenizer.update(post_processor=begin()))
    # Penalised tokens give way to others, so that even greedy answers come to the one that ends them.
    stop = {"eos_token_id": [2, STOP], "repetition_penalty": 1.2}
    change(folder / "generation_config.json", lambda config: config.update(stop))
    return folder


def begin() -> dict[str, Any]:
    """The part of a tokenizer that writes `<s>` before a prompt."""
    single = [{"SpecialToken": BEGIN}, {"Sequence": {"id": "A", "type_id": 0}}]
    pair = [*single, {"Sequence": {"id": "B", "type_id": 0}}]
    tokens = {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens}


def change(file: Path, edit: Any) -> None:
    """Edit a JSON file."""
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def write_adapter(folder: Path, rank: int = 4) -> Path:
    """A LoRA adapter of the language model."""
    folder.mkdir()
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 8, "target_modules": ["q_proj"], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    module = "base_model.model.language_model.model.layers.0.self_attn.q_proj"
    generator = torch.Generator().manual_seed(0)
    down, up = (0.01 * torch.randn(shape, generator=generator) for shape in ((rank, 128), (128, rank)))
    weights = {f"{module}.lora_A.weight": down, f"{module}.lora_B.weight": up}
    save_file(weights, folder / "adapter_model.safetensors")
    return folder


def publish(folder: Path, name: str, content: Path) -> None:
    """Make a folder what Hugging Face's cache holds for a name: then it is found wherever the name is used."""
    snapshot(folder, name).parent.mkdir(parents=True)
    snapshot(folder, name).symlink_to(content)
    reference = snapshot(folder, name).parents[1] / "refs" / "main"
    reference.parent.mkdir()
    reference.write_text(COMMIT)


def snapshot(folder: Path, name: str) -> Path:
    """Where Hugging Face's cache holds what has a name."""
    return folder / "hub" / f"models--{name.replace('/', '--')}" / "snapshots" / COMMIT


def write_images(folder: Path) -> None:
    """Images of the modes that the names promise, but smaller. Those of one test are alike in shape."""
    folder.mkdir(parents=True)
    china().save(folder / "2560px-Gfp-wisconsin-madison-the-nature-boardwalk.jpg")
    generated(300, 200).convert("P").save(folder / "Grayscale_8bits_palette_sample_image.png")
    flower().save(folder / "1280px-Venn_diagram_rgb.svg.png")
    transparent = grace_hopper().resize((600, 400))
    transparent.putalpha(generated(600, 400, seed=1).convert("L"))
    transparent.save(folder / "RGBA_comp.png")
    generated(650, 438).save(folder / "stop_sign.jpg")
    generated(400, 300).save(folder / "cherry_blossom.jpg")
    torch.save(torch.randn(64, 128, generator=torch.Generator().manual_seed(0)), folder / "stop_sign.pt")
