"""The architectures of demo models."""

from collections.abc import Mapping

from evaluation.demo.training.families.family import Family
from evaluation.demo.training.families.llava_next import LlavaNext
from evaluation.demo.training.families.qwen3_vl import Qwen3VL

FAMILIES: Mapping[str, type[Family]] = {"llava": LlavaNext, "qwen": Qwen3VL}
