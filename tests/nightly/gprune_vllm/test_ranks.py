"""Each family on two ranks is pruned as its oracle prunes it, with its tower divided by weights or by images."""

from pathlib import Path
from typing import Any

import pytest

from tests.support import photos
from tests.support.agreement import assert_agreement, assert_expected
from tests.support.engine import engine
from tests.support.families import FAMILIES
from tests.support.families.qwen_vl import metadata_of
from tests.support.oracle import Oracle, Stage

IMAGES = [photos.china(), photos.generated(100, 300)]
VIDEO = photos.generated_video(160, 120, 6)
RANKS: dict[str, Any] = {"tensor_parallel_size": 2, "distributed_executor_backend": "mp", "max_num_batched_tokens": 128}
SEPARATE = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}


@pytest.mark.parametrize("stage", ["vision", "projector"])
@pytest.mark.parametrize("name", FAMILIES)
def test_two_ranks_agree_with_the_oracle(name: str, stage: Stage, tmp_path: Path) -> None:
    """At the stage "projector" each rank runs the tower for images of its own."""
    family = FAMILIES[name]
    if family.linear:
        pytest.skip("a tiny decoder with one linear head cannot be divided")
    model = family.write(tmp_path / "tiny")
    settings = SEPARATE | {"GPRUNE_PRUNE_STAGE": stage}
    divided = {"mm_encoder_tp_mode": "data" if stage == "projector" else "weights"}
    oracle = family.oracle(model)
    with engine(model, settings, dtype=family.dtype, **RANKS, **divided) as running:
        for ratio in (0.0, 0.5, 0.9):
            assert_agreement(running, oracle, IMAGES, ratio, stage=stage)
            if family.videos:
                check_video(running, oracle, ratio, stage)


def check_video(running: Any, oracle: Oracle, ratio: float, stage: Stage) -> None:
    prompt = oracle.chat(VIDEO, IMAGES[0], "What is it?")  # type: ignore[arg-type]
    media = {"image": IMAGES[:1], "video": [(VIDEO, metadata_of(VIDEO))]}
    answer = running.ask_prompt(prompt, media, ratio)
    assert_expected(answer, oracle, IMAGES[:1], prompt, ratio, stage=stage, videos=[VIDEO])
