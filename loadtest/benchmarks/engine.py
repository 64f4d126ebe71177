"""A vLLM engine with random weights that caches nothing, in a process of its own, with the plugin or without."""

import os
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from loadtest.benchmarks.timing import once
from loadtest.images import colours

MAX_POSITIONS = 4096
ORDINARY = range(16, 256)
"""Tokens that mean nothing in particular to the tokenizer."""
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt that is like no other.

    Attributes:
        length: of its text in tokens.
        picture: width and height, or None for text alone.
        ratio: of the picture's tokens, to be pruned.
        seed: makes it its own.
    """

    length: int
    picture: tuple[int, int] | None = None
    ratio: float = 0.0
    seed: int = 0

    def prompt(self, begin: int, image: int) -> dict[str, Any]:
        """Make what vLLM's offline interface takes, with these tokens for the beginning and for a picture."""
        source = random.Random(self.seed)
        text = source.choices(ORDINARY, k=self.length - 1)
        if self.picture is None:
            return {"prompt_token_ids": [begin, *text]}
        picture = {"multi_modal_data": {"image": colours(self.picture, source)}}
        asked = {"mm_processor_kwargs": {"prune_ratio": self.ratio}} if self.ratio else {}
        return {"prompt_token_ids": [begin, image, *text], **picture, **asked}


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that runs, and the process that it runs in."""

    process: ProcessPoolExecutor

    def ask(self, question: Question) -> tuple[float, int]:
        """Tell the seconds until the first answered token, and the prompt's length in tokens."""
        return self.process.submit(_ask, question).result()

    def tower(self, crops: int) -> float:
        """Tell the seconds that the vision tower takes for an image of so many crops."""
        return self.process.submit(_tower, crops).result()


@contextmanager
def engine(checkpoint: Path, plugin: bool, device: str) -> Iterator[Engine]:
    """Run an engine that prunes, or vLLM as it comes, on what `loadtest.benchmarks.shapes.write_model` wrote.

    Raises:
        ValueError: this vLLM is not for the device.
    """
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
        process.submit(_start, checkpoint, plugin, device).result()
        yield Engine(process)


_model: Any = None
"""The engine, in its own process."""


def _start(checkpoint: Path, plugin: bool, device: str) -> None:
    global _model
    os.environ.update({**ENVIRONMENT, "VLLM_PLUGINS": "gprune" if plugin else ""})
    from vllm import LLM
    from vllm.platforms import current_platform

    if current_platform.device_type != device:
        raise ValueError(f"this vLLM is for {current_platform.device_type} and not for {device}")
    _model = LLM(
        str(checkpoint),
        load_format="dummy",
        max_model_len=MAX_POSITIONS,
        max_num_batched_tokens=MAX_POSITIONS,  # a prompt is one step
        max_num_seqs=1,
        enable_prefix_caching=False,
        mm_processor_cache_gb=0,
        enforce_eager=device == "cpu",
        gpu_memory_utilization=0.42,  # two engines are to fit
    )


def _ask(question: Question) -> tuple[float, int]:
    from vllm import SamplingParams

    config, answers = _model.model_config.hf_config, []
    prompt = question.prompt(config.text_config.bos_token_id, config.image_token_index)
    sampling = SamplingParams(max_tokens=1, temperature=0, ignore_eos=True, detokenize=False)
    seconds = once(lambda: answers.extend(_model.generate(prompt, sampling, use_tqdm=False)))
    return seconds, len(answers[0].prompt_token_ids)


def _tower(crops: int) -> float:
    @torch.inference_mode()
    def measure(model: Any) -> float:
        side, weight = model.config.vision_config.image_size, next(model.vision_tower.parameters())
        pixels = torch.randn(crops, 3, side, side, device=weight.device, dtype=weight.dtype)
        return once(lambda: model._image_pixels_to_features(model.vision_tower, pixels))

    (seconds,) = _model.apply_model(measure)
    return float(seconds)
