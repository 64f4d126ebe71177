"""A served model, as lmms-eval asks it."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

from lmms_eval.api.model import lmms  # type: ignore[import-not-found]
from lmms_eval.models.model_utils.gen_metrics import log_metrics  # type: ignore[import-not-found]
from openai import OpenAI
from PIL import Image
from tqdm import tqdm

from evaluation.client import TIMEOUT, client_options
from evaluation.picture import data_url

MAX_TOKENS = 1024
"""Answered tokens at most where a task does not say."""
REPORTED = {"prune_ratio": "prune_ratio", "prune_method": "method"}
"""What was asked for, as `usage.visual_tokens` calls it."""


class GPruneServer(lmms):
    """Sends each question of a task to a server, with what to prune.

    lmms-eval's `--model_args` are these, as `name=value`:

    Args:
        url: the server's, with or without `/v1`.
        model: name of its model.
        prune_ratio: fraction of visual tokens to prune; the server's default where absent, as the next two.
        prune_method: how those that stay are selected.
        visual_token_budget: visual tokens to keep of each picture, in place of a ratio.
        concurrency: questions in flight.
        timeout: seconds until a question that is not answered has failed.
        batch_size, max_batch_size, device: lmms-eval gives these to every backend; there is no use for them here.
    """

    is_simple = True

    def __init__(
        self,
        url: str,
        model: str,
        prune_ratio: float | None = None,
        prune_method: str | None = None,
        visual_token_budget: int | None = None,
        concurrency: int = 8,
        timeout: float = TIMEOUT,
        batch_size: Any = 1,
        max_batch_size: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        self.batch_size = batch_size
        self._model, self._concurrency = model, int(concurrency)
        fields = {
            "prune_ratio": None if prune_ratio is None else float(prune_ratio),
            "prune_method": prune_method,
            "visual_token_budget": None if visual_token_budget is None else int(visual_token_budget),
        }
        self._fields = {name: value for name, value in fields.items() if value is not None}
        self._client = OpenAI(**client_options(url, float(timeout)))

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answer all requests of a task, in order.

        Raises:
            openai.OpenAIError, RuntimeError: one failed. It is not scored, nor are the others.
        """
        start = perf_counter()
        with ThreadPoolExecutor(self._concurrency) as threads:
            results = threads.map(self._answer, [request.args for request in requests])
            try:
                answers = list(tqdm(results, total=len(requests), desc="Model Responding"))
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise
        seconds = perf_counter() - start
        log_metrics(seconds, 0, 0.0, {"samples_per_second": len(answers) / seconds})
        return answers

    def _answer(self, arguments: tuple[str, dict[str, Any], Callable[[Any], Any], int, str, str]) -> str:
        text, options, doc_to_visual, doc_id, task, split = arguments
        pictures = doc_to_visual(self.task_dict[task][split][doc_id]) or []
        chat = self._client.chat.completions
        completion = chat.create(**request(self._model, text, pictures, options), extra_body=self._fields)
        if pictures:
            check_pruning(getattr(completion.usage, "visual_tokens", None), self._fields)
        return completion.choices[0].message.content or ""

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        raise NotImplementedError("this backend answers one question at a time")

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        raise NotImplementedError("a chat server does not tell the likelihood of a given answer")


def request(model: str, text: str, pictures: Sequence[Image.Image], options: dict[str, Any]) -> dict[str, Any]:
    """The request for a question: its pictures, then its text, and the task's options of generation."""
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": data_url(one)}} for one in pictures]
    stop = options.get("until") or []
    return {
        "model": model,
        "messages": [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}],
        "temperature": float(options.get("temperature") or 0),
        "max_tokens": int(options.get("max_new_tokens") or MAX_TOKENS),
        "stop": [stop] if isinstance(stop, str) else list(stop),
    }


def check_pruning(reported: dict[str, Any] | None, fields: dict[str, Any]) -> None:
    """Raises:
    RuntimeError: the server does not report what was asked for.
    """
    if reported is None:
        raise RuntimeError("the answer has no usage.visual_tokens; is it gprune-serve that answers?")
    if any(reported[name] != fields[field] for field, name in REPORTED.items() if field in fields):
        raise RuntimeError(f"asked for {fields}, and the server pruned otherwise: {reported}")
