"""Questions about pictures, and the answers that are right."""

import base64
import hashlib
import io
from dataclasses import dataclass

from PIL import Image

from evaluation.scenes.drawing import draw
from evaluation.scenes.questions import FAMILIES, make_questions
from evaluation.scenes.scene import make_scene

FAMILY_OF: dict[str, str] = {task: family for family, tasks in FAMILIES.items() for task in tasks}
"""The family of each task."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as requests carry it.

    Attributes:
        url: the picture as a `data:` URL, without loss.
        digest: names its content.
        size: height and width in pixels.
    """

    url: str
    digest: str
    size: tuple[int, int]

    @classmethod
    def of(cls, image: Image.Image) -> "Picture":
        """Encode an image. Little compression: pictures are sent to the next process."""
        buffer = io.BytesIO()
        image.save(buffer, format="PNG", compress_level=1)
        content = buffer.getvalue()
        url = "data:image/png;base64," + base64.b64encode(content).decode("ascii")
        return cls(url, hashlib.sha256(image.tobytes()).hexdigest(), (image.height, image.width))


@dataclass(frozen=True, slots=True)
class Sample:
    """A question about a scene."""

    scene: int
    picture: Picture
    task: str
    question: str
    answer: str


def load_samples(scenes: int, seed: int = 0) -> list[Sample]:
    """All questions about the held-out scenes `seed` to `seed + scenes - 1`."""
    samples = []
    for number in range(seed, seed + scenes):
        scene = make_scene(number, "test")
        picture = Picture.of(draw(scene))
        samples += [
            Sample(number, picture, question.task, question.text, question.answer) for question in make_questions(scene)
        ]
    return samples
