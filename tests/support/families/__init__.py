"""Model families under test, one file each: a tiny checkpoint and an independent oracle."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args
from unittest import mock

from evaluation.demo.checkpoint import write_checkpoint
from tests.support.families.glm4v import Glm4vOracle, write_glm4v, write_glm4v_moe
from tests.support.families.idefics3 import Idefics3Oracle, SmolVLMOracle, write_idefics3, write_smolvlm
from tests.support.families.internvl import (
    InternVLChatOracle,
    InternVLOracle,
    write_interns1,
    write_internvl,
    write_internvl_chat,
)
from tests.support.families.kimi_vl import KimiVLOracle, write_kimi_vl
from tests.support.families.llama4 import Llama4Oracle, write_llama4
from tests.support.families.llava import LlavaOracle, write_llava
from tests.support.families.llava_next import LlavaNextOracle
from tests.support.families.llava_onevision import LlavaOneVisionOracle, write_llava_onevision
from tests.support.families.mistral3 import Mistral3Oracle, write_mistral3
from tests.support.families.qwen_checkpoint import GENERATIONS, write_qwen
from tests.support.families.qwen_vl import QwenOracle
from tests.support.oracle import Oracle
from tests.support.oracle_methods import Method

CROWD = 4
"""Requests at once in a test of preemption."""


@dataclass(frozen=True, slots=True)
class FamilyUnderTest:
    """A family under test.

    Attributes:
        architecture: vLLM's name of it.
        module: where vLLM's own class is, in `vllm.model_executor.models`.
        write: writes a tiny checkpoint with random float32 weights into a folder, and returns the folder.
        oracle: the independent computation on such a checkpoint.
        adapted: modules that an adapter changes, of the language model, the tower and the projector, as Transformers
            names them, with the names that published checkpoints and their adapters have.
        methods: selection methods that the oracle and the family share.
        dtype: that the engine computes in.
        block: tokens in a block of the KV cache, which vLLM chooses itself for linear and for latent attention.
        upstream: name of vLLM's own class, where it is not that of the architecture.
        options: further arguments of its engines.
        crowding: blocks in which the requests of `CROWD` find room at first, but not for long.
    """

    architecture: str
    module: str
    write: Callable[[Path], Path]
    oracle: type[Oracle]
    adapted: Mapping[str, str] = field(default_factory=dict)
    methods: tuple[Method, ...] = get_args(Method)
    dtype: str = "float32"
    block: int = 64
    crowding: int = CROWD + 2
    upstream: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of an engine of the family."""
        return {"dtype": self.dtype, **self.options}

    @property
    def chunked(self) -> bool:
        """Whether vLLM prefills in chunks on a CPU, and keeps prefixes: not with its latent attention there."""
        return self.block >= 64

    @property
    def videos(self) -> bool:
        """Whether the family takes videos."""
        return self.oracle.takes_videos

    @property
    def linear(self) -> bool:
        """Whether layers of the decoder have linear attention."""
        return self.block > 64

    @contextmanager
    def stock(self) -> Iterator[None]:
        """Have engines that start inside use vLLM's own class."""
        from vllm.model_executor.models import ModelRegistry
        from vllm.model_executor.models.config import MODELS_CONFIG_MAP
        from vllm.plugins import load_general_plugins

        load_general_plugins()  # once a process, and so not inside
        with mock.patch.dict(ModelRegistry.models), mock.patch.dict(MODELS_CONFIG_MAP):
            del MODELS_CONFIG_MAP[self.architecture]
            path = f"vllm.model_executor.models.{self.module}:{self.upstream or self.architecture}"
            ModelRegistry.register_model(self.architecture, path)
            yield


DECODER_MODULES = ("layers.0.self_attn.q_proj", "layers.1.mlp.down_proj")
IDEFICS_ADAPTED = {
    name: name
    for name in (
        *(f"model.text_model.{name}" for name in DECODER_MODULES),
        "model.vision_model.encoder.layers.0.mlp.fc1",
        "model.connector.modality_projection.proj",
    )
}
LLAVA_ADAPTED = {
    **{f"model.language_model.{name}": f"language_model.model.{name}" for name in DECODER_MODULES},
    "model.vision_tower.encoder.layers.0.mlp.fc1": "vision_tower.vision_model.encoder.layers.0.mlp.fc1",
    "model.multi_modal_projector.linear_1": "multi_modal_projector.linear_1",
}
MISTRAL_ADAPTED = {f"model.language_model.{name}": f"language_model.model.{name}" for name in DECODER_MODULES}
QWEN_ADAPTED = {
    "qwen2_vl": ("blocks.0.mlp.fc1", "merger.mlp.0"),
    "qwen2_5_vl": ("blocks.0.mlp.down_proj", "merger.mlp.0"),
    "qwen3_vl": ("blocks.0.mlp.linear_fc1", "merger.linear_fc1", "deepstack_merger_list.1.linear_fc2"),
}
LATENT_ATTENTION = {
    "attention_config": {"backend": "CPU_MLA"},  # the other one computes in bfloat16 only
    "compilation_config": {"custom_ops": ["all", "-rotary_embedding"]},
}
"""vLLM 0.32's rotary kernel for CPUs turns the queries of latent attention by wrong angles, unlike its Python code."""
WITHOUT_ATTENTION: tuple[Method, ...] = ("gprune", "l2norm", "divprune", "tome")


def _qwen(name: str, architecture: str) -> FamilyUnderTest:
    module = name.removesuffix("_moe") if name.startswith("qwen3_5") else name
    visual = QWEN_ADAPTED.get(name, ())
    adapted = [f"model.visual.{module}" for module in visual]
    adapted += [f"model.language_model.{module}" for module in DECODER_MODULES if visual]
    names = {module: module for module in adapted}  # as they are published
    family = FamilyUnderTest(architecture, module, partial(write_qwen, name), QwenOracle, names, WITHOUT_ATTENTION)
    if name.startswith("qwen3_5"):  # a block of each request for its linear layers, and one for the others
        return replace(family, dtype=GENERATIONS[name].dtype, block=640, crowding=2 * CROWD + 1)
    return family


FAMILIES = {
    "glm4v": FamilyUnderTest(
        "Glm4vForConditionalGeneration", "glm4_1v", write_glm4v, Glm4vOracle, methods=WITHOUT_ATTENTION
    ),
    "glm4v_moe": FamilyUnderTest(
        "Glm4vMoeForConditionalGeneration", "glm4_1v", write_glm4v_moe, Glm4vOracle, methods=WITHOUT_ATTENTION
    ),
    "idefics3": FamilyUnderTest(
        "Idefics3ForConditionalGeneration",
        "idefics3",
        write_idefics3,
        Idefics3Oracle,
        IDEFICS_ADAPTED,
        methods=WITHOUT_ATTENTION,
    ),
    "interns1": FamilyUnderTest(
        "InternS1ForConditionalGeneration",
        "interns1",
        write_interns1,
        InternVLOracle,
        methods=WITHOUT_ATTENTION,
    ),
    "internvl": FamilyUnderTest(
        "InternVLForConditionalGeneration",
        "interns1",
        write_internvl,
        InternVLOracle,
        methods=WITHOUT_ATTENTION,
        upstream="InternS1ForConditionalGeneration",
    ),
    "internvl_chat": FamilyUnderTest(
        "InternVLChatModel", "internvl", write_internvl_chat, InternVLChatOracle, methods=WITHOUT_ATTENTION
    ),
    "kimi_vl": FamilyUnderTest(
        "KimiVLForConditionalGeneration",
        "kimi_vl",
        write_kimi_vl,
        KimiVLOracle,
        methods=WITHOUT_ATTENTION,
        block=16,
        crowding=4 * CROWD + 2,
        options=LATENT_ATTENTION,
    ),
    "llama4": FamilyUnderTest(
        "Llama4ForConditionalGeneration",
        "mllama4",
        write_llama4,
        Llama4Oracle,
        methods=WITHOUT_ATTENTION,
        crowding=4 * CROWD + 2,  # a block of each request for each layer: one attends to all, three in chunks
    ),
    "llava": FamilyUnderTest("LlavaForConditionalGeneration", "llava", write_llava, LlavaOracle, LLAVA_ADAPTED),
    "llava_next": FamilyUnderTest(
        "LlavaNextForConditionalGeneration", "llava_next", write_checkpoint, LlavaNextOracle, LLAVA_ADAPTED
    ),
    "llava_onevision": FamilyUnderTest(
        "LlavaOnevisionForConditionalGeneration",
        "llava_onevision",
        write_llava_onevision,
        LlavaOneVisionOracle,
        methods=WITHOUT_ATTENTION,
    ),
    "mistral3": FamilyUnderTest(
        "Mistral3ForConditionalGeneration",
        "mistral3",
        write_mistral3,
        Mistral3Oracle,
        MISTRAL_ADAPTED,
        methods=WITHOUT_ATTENTION,
    ),
    "qwen2_vl": _qwen("qwen2_vl", "Qwen2VLForConditionalGeneration"),
    "qwen2_5_vl": _qwen("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration"),
    "qwen3_vl": _qwen("qwen3_vl", "Qwen3VLForConditionalGeneration"),
    "qwen3_vl_moe": _qwen("qwen3_vl_moe", "Qwen3VLMoeForConditionalGeneration"),
    "qwen3_5": _qwen("qwen3_5", "Qwen3_5ForConditionalGeneration"),
    "qwen3_5_moe": _qwen("qwen3_5_moe", "Qwen3_5MoeForConditionalGeneration"),
    "smolvlm": FamilyUnderTest(
        "SmolVLMForConditionalGeneration", "smolvlm", write_smolvlm, SmolVLMOracle, methods=WITHOUT_ATTENTION
    ),
}
