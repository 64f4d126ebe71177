"""A prompt with images on its way through the processor, and what to look at in the result."""

from typing import Any

from PIL import Image
from vllm.multimodal.cache import BaseMultiModalProcessorCache
from vllm.multimodal.processing.context import TimingContext
from vllm.multimodal.processing.inputs import ProcessorInputs

from gprune_vllm.adapter.inputs import planned_in
from gprune_vllm.adapter.refusal import TERMS_KEY
from gprune_vllm.families.llava_next import GPruneLlavaNextProcessor
from gprune_vllm.plan import PlannedImage, TokenPlan
from gprune_vllm.settings import PruneSettings
from gprune_vllm.terms import Terms
from tests.support.photos import generated
from tests.unit.gprune_vllm.support import GEOMETRIES

BEGIN, IMAGE, TEXT = 1, 3, 40
DEMO = GEOMETRIES["demo"]
PHOTO = generated(300, 200)  # width and height
LARGE = generated(224, 224)


def process(
    processor: GPruneLlavaNextProcessor,
    *images: Image.Image,
    text: int = 1,
    cache: BaseMultiModalProcessorCache | None = None,
    **kwargs: object,
) -> Any:
    """Process a prompt of `<s>`, the images, and so many tokens of text, with these processor arguments."""
    prompt = [BEGIN] + [IMAGE] * len(images) + [TEXT] * text
    return process_prompt(processor, prompt, list(images), kwargs, cache)


def process_prompt(
    processor: GPruneLlavaNextProcessor,
    prompt: list[int],
    images: list[Image.Image],
    kwargs: dict[str, object],
    cache: BaseMultiModalProcessorCache | None = None,
) -> Any:
    """Process any prompt, with these processor arguments."""
    items = processor.info.parse_mm_data({"image": images}, validate=False)
    inputs = ProcessorInputs(prompt, items, hf_processor_mm_kwargs=kwargs, cache=cache)
    return processor.apply(inputs, TimingContext(enabled=False))


def plan_of(image: Image.Image, ratio: float = 0.0, budget: int | None = None) -> TokenPlan:
    return DEMO.plan((image.height, image.width), ratio, budget)


def hashes(result: Any) -> list[str]:
    return list(result["mm_hashes"]["image"])


def planned(result: Any) -> list[PlannedImage]:
    """What the model is told of each image."""
    return [found for item in result["mm_kwargs"]["image"] if (found := planned_in(item)) is not None]


def digests(result: Any) -> list[int]:
    return [image.digest for image in planned(result)]


def granted(ratio: float) -> dict[str, Terms]:
    """Processor arguments by which the adaptive policy chooses a ratio."""
    return {TERMS_KEY: Terms(PruneSettings(default_prune_ratio=ratio), "adaptive")}
