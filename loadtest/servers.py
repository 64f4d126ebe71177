"""Our server and stock vLLM, started alike."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from gprune_server.dtype import default_dtype
from gprune_server.launch import LaunchError, launched
from loadtest.failure import LoadTestError

STOCK, OURS = "stock", "gprune"
COMMANDS = {STOCK: ("vllm.entrypoints.openai.api_server", "--model"), OURS: ("gprune_server.serve",)}
NO_PLUGIN = {"VLLM_PLUGINS": ""}
COMMON = ("--limit-mm-per-prompt", '{"image": 1}')
"""What memory is profiled for must be the same."""


@contextmanager
def serving(name: str, model: str, arguments: Sequence[str], folder: Path) -> Iterator[str]:
    """Run one of the servers, with its log in a folder; yield its URL, and stop it after.

    Raises:
        LoadTestError: it does not start.
    """
    # Without a GPU nothing is compiled: on models that a CPU can serve that takes longer than it saves.
    eager = [] if torch.cuda.is_available() else ["--enforce-eager"]
    flags = [*COMMON, "--dtype", default_dtype(), *eager, *arguments]  # stock vLLM would not choose by the processor
    command = [sys.executable, "-m", *COMMANDS[name], model, *flags]
    try:
        with launched(command, folder / f"{name}.log", environment(name)) as server:
            yield server.url
    except LaunchError as error:
        raise LoadTestError(str(error)) from error


def environment(name: str) -> dict[str, str]:
    """This process's environment without settings that would reach the server unseen."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("GPRUNE_", "VLLM_API_KEY"))}
    return {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", **own, **(NO_PLUGIN if name == STOCK else {})}
