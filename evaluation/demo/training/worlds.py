"""What a demo model is trained on."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from PIL import Image

from evaluation.demo.training.relations import locate, relate
from evaluation.everyday.questions import all_everyday_texts, make_everyday_questions, read_all
from evaluation.everyday.scene import LAYOUTS, make_everyday
from evaluation.scenes.drawing import draw
from evaluation.scenes.questions import Question, all_texts, make_questions, spell
from evaluation.scenes.scene import Scene, make_scene

SIGNS = (3, 10)
"""Signs to try to place in a scene for the tower, either as likely: letters are what takes longest to learn."""
Grid = tuple[int, int] | None


class World(ABC):
    """Scenes to train on, and questions about them.

    Attributes:
        texts: whose words the tokenizer is to know.
    """

    texts: ClassVar[Sequence[str]]

    @abstractmethod
    def scenes(self, seeds: range, grid: Grid, source: random.Random) -> list[Scene]:
        """Make up scenes of the training split, about which some equally long conversations are held."""

    @abstractmethod
    def crowded_scene(self, seed: int, grid: Grid, source: random.Random) -> Scene:
        """Make up a scene with much to see, for the tower to learn from."""

    @abstractmethod
    def draw(self, scene: Scene) -> Image.Image:
        """Draw a scene."""

    @abstractmethod
    def questions(self, scene: Scene, rounds: int) -> list[Question]:
        """Several rounds of questions, and more of what takes longest. Some may be there twice."""


class Shapes(World):
    """The scenes of `evaluation.scenes`, with more questions about letters, places and relations."""

    texts = all_texts()

    def scenes(self, seeds: range, grid: Grid, source: random.Random) -> list[Scene]:
        return [make_scene(seed, "train", grid=grid) for seed in seeds]

    def crowded_scene(self, seed: int, grid: Grid, source: random.Random) -> Scene:
        return make_scene(seed, "train", signs=source.choice(SIGNS), grid=grid)

    def draw(self, scene: Scene) -> Image.Image:
        return draw(scene)

    def questions(self, scene: Scene, rounds: int) -> list[Question]:
        asked = [question for number in range(rounds) for question in make_questions(scene, number)]
        return [*asked, *spell(scene), *locate(scene), *relate(scene)]


class Everyday(World):
    """The scenes of `evaluation.everyday`, with more questions about what is to be read, places and relations."""

    texts: ClassVar[Sequence[str]] = [*all_texts(), *all_everyday_texts()]

    def __init__(self, draw: Callable[[Scene], Image.Image]) -> None:
        self.draw_scene = draw

    def scenes(self, seeds: range, grid: Grid, source: random.Random) -> list[Scene]:
        layout = source.choice(LAYOUTS)
        return [make_everyday(seed, "train", grid=grid, layout=layout) for seed in seeds]

    def crowded_scene(self, seed: int, grid: Grid, source: random.Random) -> Scene:
        return make_everyday(seed, "train", grid=grid)

    def draw(self, scene: Scene) -> Image.Image:
        return self.draw_scene(scene)

    def questions(self, scene: Scene, rounds: int) -> list[Question]:
        asked = [question for number in range(rounds) for question in make_everyday_questions(scene, number)]
        related = [*locate(scene), *relate(scene)] if scene.layout == "street" else []
        return [*asked, *read_all(scene), *related]


WORLDS: Mapping[str, type[World]] = {"shapes": Shapes, "everyday": Everyday}
