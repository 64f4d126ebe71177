"""Our server and stock vLLM, to be run side by side. Only one is asked at a time, and the other is idle."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from evaluation.server import serving as serving_ours

STOCK, OURS = "stock", "gprune"
STOCK_COMMAND = ("-m", "vllm.entrypoints.openai.api_server", "--model")
NO_PLUGIN: Mapping[str, str] = {"VLLM_PLUGINS": ""}
COMMON = ("--limit-mm-per-prompt", '{"image": 1}')
"""What memory is profiled for must be the same."""


def serving(name: str, model: str, arguments: Sequence[str], folder: Path) -> AbstractContextManager[str]:
    """Run one of the servers, with its log in a folder; yield its URL, and stop it after.

    Raises:
        EvaluationError: it does not start.
    """
    words, log = [model, *COMMON, *arguments], folder / f"{name}.log"
    return serving_ours(words, log, NO_PLUGIN, STOCK_COMMAND) if name == STOCK else serving_ours(words, log)
