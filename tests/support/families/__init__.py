"""Model families under test, one file each: a tiny checkpoint and an independent oracle."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evaluation.demo.checkpoint import write_checkpoint
from tests.support.families.llava import LlavaOracle, write_llava
from tests.support.families.llava_next import LlavaNextOracle
from tests.support.oracle import Oracle


@dataclass(frozen=True, slots=True)
class TestedFamily:
    """A family under test.

    Attributes:
        architecture: vLLM's name of it.
        write: writes a tiny checkpoint with random float32 weights into a folder, and returns the folder.
        oracle: the independent computation on such a checkpoint.
    """

    architecture: str
    write: Callable[[Path], Path]
    oracle: type[Oracle]


FAMILIES = {
    "llava": TestedFamily("LlavaForConditionalGeneration", write_llava, LlavaOracle),
    "llava_next": TestedFamily("LlavaNextForConditionalGeneration", write_checkpoint, LlavaNextOracle),
}
