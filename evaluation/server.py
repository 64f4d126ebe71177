"""A server for the time of a measurement: `gprune-serve` in a process of its own."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from evaluation.failure import EvaluationError
from server.launch import LaunchError, free_port, launched, tail

__all__ = ["environment", "free_port", "has_gpu", "processor_arguments", "serving", "tail"]


@contextmanager
def serving(
    arguments: Sequence[str],
    log: Path,
    settings: Mapping[str, str] | None = None,
    server: Sequence[str] = ("-m", "server.serve"),
) -> Iterator[str]:
    """Serve with the given arguments of `gprune-serve`, the model first, and `settings` in the environment beside what
    is there; yield the server's URL, and stop it after. Another server that takes such arguments may be named.

    Raises:
        EvaluationError: the server does not start; the message has the end of its log.
    """
    command = [sys.executable, *server, *arguments, *processor_arguments()]
    try:
        with launched(command, log, environment() | dict(settings or {})) as running:
            yield running.url
    except LaunchError as error:
        raise EvaluationError(str(error)) from error


def has_gpu() -> bool:
    """Whether a GPU is at hand."""
    import torch

    return torch.cuda.is_available()


def processor_arguments() -> list[str]:
    """Without a GPU nothing is compiled: on the models that a CPU can serve that takes longer than it saves."""
    return [] if has_gpu() else ["--enforce-eager"]


def environment() -> dict[str, str]:
    """This process's environment without settings that would reach the server unseen."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GPRUNE_")}
    return {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", **own}
