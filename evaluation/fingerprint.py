"""Names for everything that answers depend on, so that answers to something else are never taken for them."""

import hashlib
import json
from pathlib import Path
from typing import Any

LARGE = 2**28
"""Bytes from which on a file is told by its size and time and not by its content."""


def digest(*parts: Any) -> str:
    """A short name of what JSON can say."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def model_digest(model: str) -> str:
    """A name of a checkpoint: of its files but for its card where it is a folder, else its own."""
    folder = Path(model)
    if not folder.is_dir():
        return digest(model)
    return digest([_file_digest(file) for file in sorted(folder.iterdir()) if file.suffix != ".md"])


def code_digest() -> str:
    """A name of the plugin's source code."""
    import gprune_vllm

    files = sorted(Path(gprune_vllm.__path__[0]).rglob("*.py"))
    return digest([_file_digest(file) for file in files])


def _file_digest(file: Path) -> str:
    if not file.is_file():
        return digest(file.name)
    status = file.stat()
    if status.st_size >= LARGE:
        return digest(file.name, status.st_size, status.st_mtime_ns)
    return digest(file.name, hashlib.sha256(file.read_bytes()).hexdigest())
