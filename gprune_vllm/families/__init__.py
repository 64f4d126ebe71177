"""Model families, one file each. To add one, write its file and name its classes here."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gprune_vllm.adapter.family import Family

MODELS = {
    "Glm4vForConditionalGeneration": "glm4v:GPruneGlm4vForConditionalGeneration",
    "Glm4vMoeForConditionalGeneration": "glm4v:GPruneGlm4vMoeForConditionalGeneration",
    "Idefics3ForConditionalGeneration": "idefics3:GPruneIdefics3ForConditionalGeneration",
    "InternS1ForConditionalGeneration": "internvl:GPruneInternVLForConditionalGeneration",
    "InternVLChatModel": "internvl_chat:GPruneInternVLChatModel",
    "InternVLForConditionalGeneration": "internvl:GPruneInternVLForConditionalGeneration",
    "KimiVLForConditionalGeneration": "kimi_vl:GPruneKimiVLForConditionalGeneration",
    "Llama4ForConditionalGeneration": "llama4:GPruneLlama4ForConditionalGeneration",
    "LlavaForConditionalGeneration": "llava:GPruneLlavaForConditionalGeneration",
    "LlavaNextForConditionalGeneration": "llava_next:GPruneLlavaNextForConditionalGeneration",
    "LlavaOnevisionForConditionalGeneration": "llava_onevision:GPruneLlavaOnevisionForConditionalGeneration",
    "Mistral3ForConditionalGeneration": "mistral3:GPruneMistral3ForConditionalGeneration",
    "Qwen2VLForConditionalGeneration": "qwen_vl:GPruneQwen2VLForConditionalGeneration",
    "Qwen2_5_VLForConditionalGeneration": "qwen_vl:GPruneQwen2_5_VLForConditionalGeneration",
    "Qwen3VLForConditionalGeneration": "qwen_vl:GPruneQwen3VLForConditionalGeneration",
    "Qwen3VLMoeForConditionalGeneration": "qwen_vl:GPruneQwen3VLMoeForConditionalGeneration",
    "Qwen3_5ForConditionalGeneration": "qwen_vl:GPruneQwen3_5ForConditionalGeneration",
    "Qwen3_5MoeForConditionalGeneration": "qwen_vl:GPruneQwen3_5MoeForConditionalGeneration",
    "SmolVLMForConditionalGeneration": "idefics3:GPruneSmolVLMForConditionalGeneration",
}
"""For each architecture of vLLM's, the module and the class that take its place."""


def family_of(architecture: str) -> "Family":
    """Return the family of an architecture named in `MODELS`. Imports its module, and vLLM's with it."""
    module, _, name = MODELS[architecture].partition(":")
    family: Family = getattr(import_module(f"{__name__}.{module}"), name).family
    return family
