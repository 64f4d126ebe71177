"""The held-out scenes as they were drawn, and the questions about them."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "pictures"
SAMPLES = Path(__file__).parent / "samples.jsonl"


def picture_of(seed: int) -> Path:
    """The file of a scene's picture."""
    return FOLDER / f"{seed:03}.jpg"


def read_samples() -> list[dict[str, Any]]:
    """An object for each question: `scene`, `task`, `question` and `answer`."""
    return [json.loads(line) for line in SAMPLES.read_text().splitlines()]
