"""Results in files."""

import json
from pathlib import Path
from typing import Any


def write_json(file: Path, value: Any) -> None:
    """Write a value, making the folder where it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_text(file: Path, text: str) -> None:
    """Write a text, making the folder where it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def read_json(file: Path) -> Any:
    return json.loads(file.read_text())
