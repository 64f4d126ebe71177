"""vLLM engines with the plugin and without, each in processes of its own."""

import os
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import perf_counter
from typing import Any

from evaluation.demo.tokenizer import BEGIN, IMAGE
from evaluation.failure import EvaluationError
from evaluation.server import environment, has_gpu, tail
from loadtest.benchmarks.shapes import MAX_POSITIONS, Shape
from loadtest.images import colours

ORDINARY = range(16, 256)
"""Tokens that mean nothing in particular to the tokenizer."""
QUESTION_LENGTH = 16
"""Tokens of a prompt beside its picture's."""
STOP_LIMIT = 60
"""Seconds that an engine has to end."""


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt that is like no other.

    Attributes:
        length: of its text in tokens.
        picture: width and height, or None for text alone.
        ratio: of the picture's tokens, to be pruned.
        seed: makes it its own.
        output: tokens to answer with.
    """

    length: int
    picture: tuple[int, int] | None = None
    ratio: float = 0.0
    seed: int = 0
    output: int = 1

    def prompt(self) -> dict[str, Any]:
        """As vLLM's offline interface takes it."""
        source = random.Random(self.seed)
        text = [BEGIN, *source.choices(ORDINARY, k=self.length - 1)]
        if self.picture is None:
            return {"prompt_token_ids": text}
        asked = {"mm_processor_kwargs": {"prune_ratio": self.ratio}} if self.ratio else {}
        tokens = [BEGIN, IMAGE, *text[1:]]
        return {"prompt_token_ids": tokens, "multi_modal_data": {"image": colours(self.picture, source)}, **asked}


class Engine:
    """An engine that runs.

    Args:
        shape: of its model.
        connection: to its process.
        log: where its output goes.
    """

    def __init__(self, shape: Shape, connection: "Connection[Any, Any]", log: Path) -> None:
        self._shape, self._connection, self._log = shape, connection, log

    def seconds(self, *questions: Question) -> float:
        """How long it takes to answer all questions, asked at once.

        Raises:
            EvaluationError: it failed, or prompts are not as long as they should be.
        """
        seconds, lengths = self._call("ask", list(questions))
        expected = [question.length + self._visual_tokens(question) for question in questions]
        if lengths != expected:
            raise EvaluationError(f"prompts of {lengths} tokens should have {expected}")
        return float(seconds)

    def _visual_tokens(self, question: Question) -> int:
        return self._shape.plan(question.picture, question.ratio).kept if question.picture else 0

    def tower_seconds(self, crops: int) -> float:
        """How long the vision tower takes for an image of so many crops."""
        return float(self._call("tower_seconds", crops))

    def refuse_synchronisation(self) -> None:
        """From now on the engine fails where pruning makes the host wait for its GPU."""
        self._call("refuse_synchronisation")

    def _call(self, *words: Any) -> Any:
        with suppress(OSError):  # it has told why it ended, or will be found to have
            self._connection.send(words)
        return self.receive()

    def receive(self) -> Any:
        """What the engine answers next.

        Raises:
            EvaluationError: it failed.
        """
        try:
            kind, value = self._connection.recv()
        except (EOFError, OSError):
            kind, value = "error", "it ended"
        if kind == "error":
            raise EvaluationError(f"the engine failed: {value}\nIts log {self._log} ends with\n{tail(self._log)}")
        return value


@dataclass(frozen=True, slots=True)
class Engines:
    """Engines with random weights that cache nothing.

    Attributes:
        checkpoint: a folder that `write_checkpoint` wrote.
        shape: for which it did.
        logs: folder for the engines' output.
        share: of a GPU's memory that each may take.
        sequences: answered at once, at most.
        attention: vLLM's attention backend, where not the one it chooses.
    """

    checkpoint: Path
    shape: Shape
    logs: Path
    share: float
    sequences: int = 8
    attention: str | None = None

    @contextmanager
    def start(self, plugin: bool) -> Iterator[Engine]:
        """An engine that prunes, or vLLM as it comes; and its end.

        Raises:
            EvaluationError: it does not start; the message has the end of its log.
        """
        log = self.logs / f"{'ours' if plugin else 'stock'}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        context = get_context("spawn")
        near, far = context.Pipe()
        process = context.Process(target=_run, args=(far, plugin, str(log), self._options()))
        process.start()
        far.close()
        running = Engine(self.shape, near, log)
        try:
            running.receive()
            yield running
        finally:
            near.close()
            _end(process)

    def _options(self) -> dict[str, Any]:
        """Arguments of `vllm.LLM`."""
        return {
            "model": str(self.checkpoint),
            "load_format": "dummy",
            "max_model_len": MAX_POSITIONS,
            "max_num_batched_tokens": MAX_POSITIONS,  # a prompt is one step
            "max_num_seqs": self.sequences,
            "enable_prefix_caching": False,
            "mm_processor_cache_gb": 0,
            "enforce_eager": not has_gpu(),
            "worker_extension_cls": "loadtest.benchmarks.worker.MeasuringWorker",
            **({"gpu_memory_utilization": self.share} if has_gpu() else {}),
            **({"attention_config": {"backend": self.attention}} if self.attention else {}),
        }


def _end(process: BaseProcess) -> None:
    """Give an engine time to end, and see to it that it does, with all it started."""
    process.join(STOP_LIMIT)
    assert process.pid
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()


def _run(connection: "Connection[Any, Any]", plugin: bool, log: str, options: dict[str, Any]) -> None:
    """The process of an engine: do what is asked until the other end closes."""
    os.setsid()  # so that all it starts can be ended at once
    with open(log, "ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.update(environment() | {"VLLM_PLUGINS": "gprune" if plugin else "", "HF_HUB_OFFLINE": "1"})
    try:
        from vllm import LLM

        model = LLM(**options)
    except Exception as error:
        connection.send(("error", f"{type(error).__name__} {error}"))
        raise
    with suppress(EOFError, OSError):  # the other end closed, or is gone
        connection.send(("done", None))
        while True:
            connection.send(_do(model, *connection.recv()))
    model.llm_engine.engine_core.shutdown()


def _do(model: Any, name: str, *words: Any) -> tuple[str, Any]:
    """Answer questions, or call a method of the worker; tell how it went."""
    try:
        return "done", _ask(model, *words) if name == "ask" else model.collective_rpc(name, args=words)[0]
    except Exception as error:
        return "error", f"{type(error).__name__} {error}"


def _ask(model: Any, questions: Sequence[Question]) -> tuple[float, list[int]]:
    """Seconds from handing over all prompts until the last answer, and the prompts' lengths in tokens."""
    from vllm import SamplingParams

    prompts = [question.prompt() for question in questions]
    sampling = [
        SamplingParams(max_tokens=question.output, temperature=0, ignore_eos=True, detokenize=False)
        for question in questions
    ]
    began = perf_counter()
    answers = model.generate(prompts, sampling, use_tqdm=False)
    return perf_counter() - began, [len(answer.prompt_token_ids) for answer in answers]
