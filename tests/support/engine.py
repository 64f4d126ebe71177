"""vLLM's engine in the tests' own process: up in seconds, where a server's three processes take most of a minute."""

import gc
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from PIL import Image

from tests.support.questions import QUESTION, Answer, messages

ENVIRONMENT = {
    "GPRUNE_PRUNE_METHOD": "gprune",  # most tests compare with it; "" leaves the default
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
}


class Engine:
    """A `vllm.LLM` in this process, asked in the words that servers are asked in (`tests.support.questions.ask`)."""

    def __init__(self, llm: Any) -> None:
        self._llm = llm

    @property
    def runner(self) -> str:
        """The module of the model runner."""
        executor = self._llm.llm_engine.model_executor
        return type(executor.driver_worker.worker.model_runner).__module__

    @property
    def model(self) -> Any:
        """The model."""
        return self._llm.llm_engine.model_executor.driver_worker.worker.get_model()

    def metric(self, name: str) -> int:
        """A counter of vLLM's, of an engine that keeps statistics."""
        return sum(metric.value for metric in self._llm.get_metrics() if metric.name == name)

    @property
    def preemptions(self) -> int:
        """How often a request was preempted, of an engine that keeps statistics."""
        return self.metric("vllm:num_preemptions")

    def ask(
        self,
        images: Sequence[Image.Image],
        ratio: float | None = None,
        question: str = QUESTION,
        max_tokens: int = 16,
        lora_request: Any = None,
        **pruning: Any,
    ) -> Answer:
        """Ask greedily; `ratio` None leaves the argument out."""
        (output,) = self._llm.chat(
            messages(images, question),
            _sampling(max_tokens),
            use_tqdm=False,
            lora_request=lora_request,
            mm_processor_kwargs=pruning if ratio is None else {"prune_ratio": ratio, **pruning},
        )
        return _answer(output)

    def ask_prompt(
        self, prompt: str, media: dict[str, list[Any]], ratio: float, max_tokens: int = 16, **pruning: Any
    ) -> Answer:
        """Ask greedily about images and videos, for each of which `prompt` has a place."""
        asked = {
            "prompt": prompt,
            "multi_modal_data": {modality: items for modality, items in media.items() if items},
            "mm_processor_kwargs": {"prune_ratio": ratio, **pruning},
        }
        (output,) = self._llm.generate([asked], _sampling(max_tokens), use_tqdm=False)
        return _answer(output)

    def ask_together(
        self, prompt: str, asked: Sequence[tuple[Image.Image, float]], max_tokens: int = 16
    ) -> list[Answer]:
        """Ask about images in one batch, each with a ratio of its own. `prompt` has a place for one image."""
        prompts = [
            {"prompt": prompt, "multi_modal_data": {"image": image}, "mm_processor_kwargs": {"prune_ratio": ratio}}
            for image, ratio in asked
        ]
        return [_answer(output) for output in self._llm.generate(prompts, _sampling(max_tokens), use_tqdm=False)]


def _sampling(max_tokens: int) -> Any:
    from vllm import SamplingParams

    return SamplingParams(temperature=0, max_tokens=max_tokens, logprobs=0, ignore_eos=True)


def _answer(output: Any) -> Answer:
    (answer,) = output.outputs
    return Answer(
        token_ids=tuple(answer.token_ids),
        logprobs=tuple(step[token].logprob for step, token in zip(answer.logprobs, answer.token_ids, strict=True)),
        prompt_tokens=len(output.prompt_token_ids),
        cached_tokens=output.num_cached_tokens,
        visual_tokens=None,
    )


@contextmanager
def engine(checkpoint: Path, settings: Mapping[str, str] | None = None, **arguments: Any) -> Iterator[Engine]:
    """An engine with the plugin, for the time of a context.

    Args:
        checkpoint: the model's folder.
        settings: environment variables of the plugin.
        arguments: further arguments of `vllm.LLM`.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith(("GPRUNE_", "VLLM_"))}
    options = {"dtype": "float32", "enforce_eager": True, "max_model_len": 2048} | arguments
    with mock.patch.dict(os.environ, own | ENVIRONMENT | dict(settings or {}), clear=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # vLLM's own, which pytest would raise
        from vllm import LLM

        llm = LLM(str(checkpoint), **options)
        yield Engine(llm)
        del llm
    gc.collect()
