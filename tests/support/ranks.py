"""A family on two ranks against its oracle: `python -m tests.support.ranks FAMILY STAGE`.

In a process of its own: an engine whose workers are processes leaves some of them to the end of its own.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support import photos
from tests.support.agreement import assert_agreement, assert_expected
from tests.support.engine import Engine, engine
from tests.support.families import FAMILIES
from tests.support.families.qwen_vl import metadata_of

IMAGES = [photos.china(), photos.generated(100, 300)]
VIDEO = photos.generated_video(160, 120, 6)
RANKS: dict[str, Any] = {"tensor_parallel_size": 2, "distributed_executor_backend": "mp", "max_num_batched_tokens": 128}


def check(name: str, stage: str, folder: Path) -> None:
    """Ask at three ratios. At the stage "projector" each rank runs the tower for images of its own."""
    family = FAMILIES[name]
    model = family.write(folder / "tiny")
    settings = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1", "GPRUNE_PRUNE_STAGE": stage}
    mode = "data" if stage == "projector" else "weights"
    oracle = family.oracle(model)
    with engine(model, settings, mm_encoder_tp_mode=mode, **RANKS, **family.arguments) as running:
        for ratio in (0.0, 0.5, 0.9):
            assert_agreement(running, oracle, IMAGES, ratio, stage=stage)
            if family.videos:
                _check_video(running, oracle, ratio, stage)


def _check_video(running: Engine, oracle: Any, ratio: float, stage: str) -> None:
    prompt = oracle.chat(VIDEO, IMAGES[0], "What is it?")
    media = {"image": IMAGES[:1], "video": [(VIDEO, metadata_of(VIDEO))]}
    answer = running.ask_prompt(prompt, media, ratio)
    assert_expected(answer, oracle, IMAGES[:1], prompt, ratio, stage=stage, videos=[VIDEO])


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        check(*sys.argv[1:], Path(temporary))
