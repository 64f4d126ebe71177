"""The demo models answer questions about pictures that they were not trained on."""

import random
from collections import Counter

import pytest
import torch

from evaluation.demo import MODELS
from evaluation.demo.training.conversation import Conversations, Lesson
from evaluation.demo.training.decoder import Reader
from evaluation.demo.training.families import FAMILIES
from evaluation.demo.training.labels import IGNORED
from evaluation.demo.training.loop import begin_with
from evaluation.scenes.questions import TASKS
from evaluation.scenes.scene import make_scene

LEAST = {"reading": 0.85, "spelling": 0.85, "colour": 0.85, "shape": 0.85, "relation": 0.8, "existence": 0.85}
"""Least share of right tokens of each task, where the model card promises more of whole answers."""
SCENES = 24


@pytest.mark.parametrize("name", FAMILIES)
def test_a_demo_model_answers_after_a_system_prompt_or_another_exchange(name: str) -> None:
    family = FAMILIES[name]()
    reader = Reader(family, family.build_model()).eval()
    begin_with(reader, MODELS / name)
    conversations = Conversations(family, Lesson(rounds=1))
    scenes = [make_scene(seed, "test", grid=(224, 224)) for seed in range(SCENES)]
    right, asked = Counter[str](), Counter[str]()
    for number in range(0, SCENES, 8):
        batch = conversations.assemble(scenes[number : number + 8], random.Random(number))
        with torch.no_grad():
            logits, tokens = reader(batch)
        tasks = [TASKS[task] for task in batch["tasks"][batch["labels"] != IGNORED].tolist()]
        asked.update(tasks)
        right.update(task for task, good in zip(tasks, (logits.argmax(-1) == tokens).tolist(), strict=True) if good)
    shares = {task: right[task] / asked[task] for task in TASKS}
    assert {task: share for task, share in shares.items() if share < LEAST.get(task, 0.75)} == {}
