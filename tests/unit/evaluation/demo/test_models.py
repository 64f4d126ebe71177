"""The demo models answer questions about pictures that they were not trained on."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
import torch
from PIL import Image

from evaluation.demo import DEMO_MODEL, MODELS
from evaluation.demo.training.conversation import Conversations, Lesson
from evaluation.demo.training.decoder import Reader
from evaluation.demo.training.families import FAMILIES
from evaluation.demo.training.labels import IGNORED
from evaluation.demo.training.loop import begin_with
from evaluation.demo.training.worlds import Everyday, Shapes, World
from evaluation.everyday.samples import picture_of
from evaluation.everyday.scene import make_everyday
from evaluation.scenes.questions import TASKS
from evaluation.scenes.scene import Scene, make_scene

SCENES, AT_ONCE = 24, 8
GRID = (224, 224)


def drawn(scene: Scene) -> Image.Image:
    """An everyday scene's picture."""
    with Image.open(picture_of(scene.seed)) as image:
        return image.convert("RGB")


@dataclass(frozen=True)
class Demo:
    """A demo model, held-out scenes of one size of its world, and what it must answer at the least.

    Attributes:
        least: share of right tokens of each task, where the model card promises more of whole answers.
    """

    family: str
    world: World
    scenes: Sequence[Scene]
    least: Mapping[str, float]


SHAPES = {"reading": 0.85, "spelling": 0.85, "colour": 0.85, "shape": 0.85, "relation": 0.8, "existence": 0.85}
SHAPE_SCENES = [make_scene(seed, grid=GRID) for seed in range(SCENES)]
EVERYDAY_SCENES = [
    scene for scene in map(make_everyday, range(200)) if (scene.width, scene.height, scene.enlargement) == (*GRID, 1.0)
]
DEMOS = {
    DEMO_MODEL.name: Demo("llava", Shapes(), SHAPE_SCENES, SHAPES),
    "qwen": Demo("qwen", Shapes(), SHAPE_SCENES, SHAPES),
    "everyday": Demo("llava", Everyday(drawn), EVERYDAY_SCENES, {"object": 0.55}),
}


def test_every_demo_model_is_tried() -> None:
    assert {folder.name for folder in MODELS.iterdir()} == set(DEMOS)


@pytest.mark.parametrize("name", DEMOS)
def test_a_demo_model_answers_after_a_system_prompt_or_another_exchange(name: str) -> None:
    demo = DEMOS[name]
    family = FAMILIES[demo.family](demo.world.texts)
    reader = Reader(family, family.build_model()).eval()
    begin_with(reader, MODELS / name, family.tokenizer)
    conversations = Conversations(family, demo.world, Lesson(rounds=1))
    right, asked = Counter[str](), Counter[str]()
    for number in range(0, len(demo.scenes), AT_ONCE):
        batch = conversations.assemble(list(demo.scenes[number : number + AT_ONCE]), random.Random(number))
        with torch.no_grad():
            logits, tokens = reader(batch)
        tasks = [TASKS[task] for task in batch["tasks"][batch["labels"] != IGNORED].tolist()]
        asked.update(tasks)
        right.update(task for task, good in zip(tasks, (logits.argmax(-1) == tokens).tolist(), strict=True) if good)
    shares = {task: right[task] / asked[task] for task in asked}
    assert len(shares) >= 6
    assert {task: share for task, share in shares.items() if share < demo.least.get(task, 0.75)} == {}
