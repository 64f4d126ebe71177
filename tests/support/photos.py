"""Photos that ship with scikit-learn and Matplotlib, and generated images of any size."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

# (width, height): the shapes at which the anyres geometry turns a corner
SIZES = {
    "wide": (300, 100),
    "tall": (100, 300),
    "tiny": (5, 3),
    "odd": (101, 67),
    "square": (224, 224),
    "crop": (112, 112),
    "panorama": (700, 23),
    "tower": (23, 700),
}


def china() -> Image.Image:
    """A temple under a wide sky, 640 x 427."""
    return _sample("china.jpg")


def flower() -> Image.Image:
    """A flower on a dark ground, 640 x 427."""
    return _sample("flower.jpg")


def grace_hopper() -> Image.Image:
    """A portrait, 512 x 600."""
    from matplotlib import cbook

    with Image.open(Path(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))) as image:
        return image.convert("RGB")


def photos() -> list[Image.Image]:
    """The three photos."""
    return [china(), flower(), grace_hopper()]


def generated(width: int, height: int, seed: int = 0) -> Image.Image:
    """A smooth field of colours with some grain, the same on every machine for the same arguments."""
    random = np.random.default_rng([seed, width, height])
    vertical, horizontal = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]  # [height, width] each
    waves = random.uniform(2, 12, size=(3, 2))
    shifts = random.uniform(0, 2 * np.pi, size=3)
    angles = np.stack([vertical * down + horizontal * across for down, across in waves], axis=-1)  # [height, width, 3]
    colours = 127.5 + 100 * np.sin(angles + shifts) + random.normal(0, 8, size=angles.shape)
    return Image.fromarray(colours.clip(0, 255).astype(np.uint8))


def generated_video(width: int, height: int, frames: int, seed: int = 0) -> np.ndarray:
    """A window that wanders over a generated image, uint8 [frames, height, width, 3]."""
    scene = np.asarray(generated(width + 8 * frames, height + 4 * frames, seed))
    return np.stack([scene[4 * step : 4 * step + height, 8 * step : 8 * step + width] for step in range(frames)])


def generated_sizes() -> dict[str, Image.Image]:
    """One generated image for each name in SIZES."""
    return {name: generated(*size) for name, size in SIZES.items()}


def data_url(image: Image.Image, format: str = "PNG") -> str:
    """The image as a ``data:`` URL, as OpenAI clients send it. JPEG is lossy, PNG is not."""
    buffer = io.BytesIO()
    image.save(buffer, format=format)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{format.lower()};base64,{encoded}"


def _sample(name: str) -> Image.Image:
    from sklearn.datasets import load_sample_image

    return Image.fromarray(load_sample_image(name))
