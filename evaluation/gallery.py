"""Pictures to show pruning on: generated scenes, and photos that come with Matplotlib and scikit-learn."""

from pathlib import Path

from PIL import Image

from evaluation.everyday.samples import picture_of
from evaluation.scenes.drawing import draw
from evaluation.scenes.scene import make_scene

SCENES = {"shapes": (3, 7), "everyday": (1, 2, 7)}
"""Seeds of the scenes shown of each world."""


def gallery(world: str = "shapes") -> dict[str, Image.Image]:
    scenes = {f"scene {seed}": scene_of(world, seed) for seed in SCENES[world]}
    return scenes | {"portrait": portrait(), "temple": photo("china.jpg"), "flower": photo("flower.jpg")}


def scene_of(world: str, seed: int) -> Image.Image:
    """A held-out scene's picture."""
    if world == "everyday":
        with Image.open(picture_of(seed)) as image:
            return image.convert("RGB")
    return draw(make_scene(seed, "test"))


def portrait() -> Image.Image:
    """Grace Hopper, 512 x 600, a photo in the public domain that comes with Matplotlib."""
    from matplotlib import cbook

    with Image.open(Path(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))) as image:
        return image.convert("RGB")


def photo(name: str) -> Image.Image:
    """A photo of 640 x 427 that comes with scikit-learn."""
    from sklearn.datasets import load_sample_image

    return Image.fromarray(load_sample_image(name))
