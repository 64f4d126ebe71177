"""Servers that questions are put to: one that runs already, or one that is started when the first question needs it."""

import asyncio
import os
import shlex
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from openai import AsyncOpenAI, OpenAI, OpenAIError

from evaluation.asking import Asker
from evaluation.cell import Cell
from evaluation.client import client_options
from evaluation.failure import EvaluationError
from evaluation.fingerprint import code_digest, digest, model_digest
from evaluation.journal import Journal
from evaluation.sample import Sample
from gprune_server.dtype import default_dtype
from gprune_server.launch import LaunchError, launched, tail

NO_CACHES = ("--no-enable-prefix-caching", "--mm-processor-cache-gb", "0")
"""Each question is computed whole, as if it were the only one about its picture: samples/s then compare."""
OWN_MODEL = "evaluated"


@dataclass(frozen=True, slots=True)
class Service:
    """A server.

    Attributes:
        checkpoint: folder or name of its model.
        model: that model's name in requests.
        fingerprint: names everything that its answers depend on.
        running: a context in which it runs, which gives its URL.
        dtype: the data type that it computes in, as `--dtype` names it; None where that is not known.
    """

    checkpoint: str
    model: str
    fingerprint: str
    running: Callable[[], AbstractContextManager[str]]
    dtype: str | None = None

    def answer(self, questions: Mapping[Cell, Sequence[Sample]], journal: Journal, in_flight: int) -> None:
        """Ask the questions of each cell, and put the answers into the journal.

        Raises:
            EvaluationError: the server does not start, or a request failed.
        """

        async def ask(url: str) -> None:
            async with AsyncOpenAI(**client_options(url)) as client:
                await Asker(client, self.model, self.fingerprint, in_flight).ask_cells(questions, journal)

        with self.running() as url:
            asyncio.run(ask(url))


def own_service(checkpoint: str, log: Path, settings: Mapping[str, str] | None = None, arguments: str = "") -> Service:
    """A server that is started for the measurement.

    Args:
        checkpoint: folder or name of the model.
        log: where the server's output goes.
        settings: pruning settings by the names of their flags, without dashes.
        arguments: further arguments of `gprune-serve`, as on a command line.
    """
    settings = dict(settings or {})
    options = [*NO_CACHES, "--prune-methods", "all", "--served-model-name", OWN_MODEL]
    options += [part for name, value in settings.items() for part in (f"--{name}", value)]
    options += shlex.split(arguments)

    @contextmanager
    def running() -> Iterator[str]:
        command = [sys.executable, "-m", "gprune_server.serve", checkpoint, *options, *processor_arguments()]
        try:
            with launched(command, log, environment()) as server:
                yield server.url
        except LaunchError as error:
            raise EvaluationError(str(error)) from error
        except EvaluationError as error:
            raise EvaluationError(f"{error}\nThe server's log {log} ends with\n{tail(log)}") from error

    dtype = dtype_of(arguments)
    fingerprint = digest(model_digest(checkpoint), settings, arguments, dtype, code_digest())
    return Service(checkpoint, OWN_MODEL, fingerprint, running, dtype)


def dtype_of(arguments: str) -> str:
    """The data type in which `gprune-serve` serves with these arguments: without `--dtype` the processor decides, so
    that answers from one machine must not be taken for those of another."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--dtype", default=default_dtype())
    return str(parser.parse_known_args(shlex.split(arguments))[0].dtype)


def running_service(url: str) -> Service:
    """The server at a URL, with or without `/v1`, told by its model and by what `/metrics` says of its pruning.

    That does not name all settings, `--dtype` among them: whoever changes others has to name another output folder.

    Raises:
        EvaluationError: none answers there.
    """
    root = url.rstrip("/").removesuffix("/v1")
    try:
        with OpenAI(**client_options(root)) as client:
            model = client.models.list().data[0]
            metrics = client.get(f"{root}/metrics", cast_to=str).splitlines()
    except OpenAIError as error:
        raise EvaluationError(f"no server answers at {root}: {error}") from error
    checkpoint = str(getattr(model, "root", model.id))
    information = sorted(line for line in metrics if line.startswith("gprune_info"))
    fingerprint = digest(model.id, model_digest(checkpoint), information)
    return Service(checkpoint, model.id, fingerprint, lambda: nullcontext(root))


def processor_arguments() -> list[str]:
    """Without a GPU nothing is compiled: on the models that a CPU can serve that takes longer than it saves."""
    import torch

    return [] if torch.cuda.is_available() else ["--enforce-eager"]


def environment() -> dict[str, str]:
    """This process's environment without settings that would reach the server unseen."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GPRUNE_")}
    return {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", **own}
