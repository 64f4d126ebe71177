"""Renderer of prompts, which validates the pruning fields of requests and passes them to the processor."""

from functools import partial
from typing import Any

from vllm.entrypoints.generate.base.protocol import validate_request_mm_kwargs
from vllm.exceptions import VLLMValidationError
from vllm.renderers.online_renderer import OnlineRenderer

from gprune_server.api.context import CURRENT_REQUEST
from gprune_server.choosing.chooser import Chooser
from gprune_server.choosing.precedence import first_given
from gprune_server.errors import MALFORMED
from gprune_server.guard.placeholders import Placeholders
from gprune_server.guard.sequences import check_sequences
from gprune_server.observe.metrics import PruneMetrics
from gprune_vllm.account import RECORD_KEY, PruneRecord, VisualTokenAccount
from gprune_vllm.adapter.refusal import FIELDS, RATIO_KEY, TERMS_KEY, PruneRefusal, resolve_request
from gprune_vllm.terms import Terms

OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


class PruneRenderer(OnlineRenderer):
    """Changes against `vllm.renderers.online_renderer.OnlineRenderer` (vLLM 0.32):

    - pruning fields of the body, the headers or the model's preset are validated and passed to the processor;
      clients still cannot send other `mm_processor_kwargs` unless the operator trusts them;
    - visual tokens of each prompt are recorded for the usage of the response, and refusals are counted;
    - if kept tokens keep their original positions, output ends before the positions run out;
    - requests for more than `max_sequences` sequences are refused, and text that stands for an image.

    Attributes:
        placeholders: text and tokens that stand for an image; None if there are none.
        chooser: chooses the pruning of requests in their senders' place.
    """

    placeholders: Placeholders | None = None

    def __init__(self, chooser: Chooser, metrics: PruneMetrics, max_sequences: int, **kwargs: Any) -> None:
        self._trust_client = bool(kwargs.pop("trust_request_mm_kwargs", False))
        # `_check_client` checks the client's arguments before ours are added; upstream's check would refuse ours.
        super().__init__(trust_request_mm_kwargs=True, **kwargs)
        self.chooser = chooser
        self._metrics = metrics
        self._max_sequences = max_sequences

    async def preprocess_cmpl(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        self._check_client(request)
        engine_inputs = await super().preprocess_cmpl(request, *args, **kwargs)
        self._check_placeholders(engine_inputs, "prompt")
        return engine_inputs

    async def preprocess_chat(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        self._check_client(request)
        try:
            processor_kwargs = self._processor_kwargs(request)
            conversation, engine_inputs = await self._render(request, processor_kwargs, *args, **kwargs)
        except PruneRefusal as refusal:
            self._metrics.refused(refusal.reason, self.chooser.tenant)
            raise
        self._check_placeholders(engine_inputs, "messages" if hasattr(request, "messages") else "input")
        for engine_input in engine_inputs:
            record = PruneRecord.of(engine_input)
            if record is not None and record.account.media:
                self._check_length(len(engine_input["prompt_token_ids"]), record.account)
                self._record(request, record.account)
                render = partial(self._render_again, request, processor_kwargs, *args, **kwargs)
                engine_input[RECORD_KEY] = PruneRecord(record.account, render)
        return conversation, engine_inputs

    def _processor_kwargs(self, request: Any) -> dict[str, Any]:
        """Return processor arguments with the pruning fields, validated even if the request has no image."""
        client_kwargs: dict[str, Any] = request.mm_processor_kwargs or {}
        given = first_given(
            {field: getattr(request, field, None) for field in FIELDS},
            {field: client_kwargs.get(field) for field in FIELDS},
            *self.chooser.fields(request.model),
        )
        terms = self._terms(request)
        resolve_request(terms.settings, given)
        return {**client_kwargs, **given, TERMS_KEY: terms}

    async def _render(self, request: Any, processor_kwargs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        client_kwargs, request.mm_processor_kwargs = request.mm_processor_kwargs, processor_kwargs
        try:
            # Upstream modifies the request in place for tool calls, so it needs this object and not a copy.
            return await super().preprocess_chat(request, *args, **kwargs)
        except MALFORMED as error:
            raise VLLMValidationError(
                "A message part does not match its type. Check the content of messages.", parameter="messages"
            ) from error
        finally:
            request.mm_processor_kwargs = client_kwargs

    async def _render_again(
        self,
        request: Any,
        processor_kwargs: dict[str, Any],
        *args: Any,
        unpruned: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Render with the data of all images, as vLLM does when the engine's cache is not used."""
        if unpruned:
            processor_kwargs = {**(request.mm_processor_kwargs or {}), RATIO_KEY: 0}
        whole = kwargs | {"skip_mm_cache": True}
        _, (engine_input,) = await self._render(request.model_copy(), processor_kwargs, *args, **whole)
        return engine_input

    def _terms(self, request: Any) -> Terms:
        """Return the terms of a request. All prompts of a batch share them."""
        record = CURRENT_REQUEST.get()
        terms = None if record is None else record.terms
        if terms is None:
            terms = self.chooser.terms(getattr(request, "request_id", ""))
        if record is not None:
            record.terms = terms
        return terms

    def _check_client(self, request: Any) -> None:
        record = CURRENT_REQUEST.get()
        check_sequences(request if record is None else record.body, self._max_sequences)
        validate_request_mm_kwargs(
            mm_processor_kwargs=getattr(request, "mm_processor_kwargs", None),
            media_io_kwargs=getattr(request, "media_io_kwargs", None),
            trust_request_mm_kwargs=self._trust_client,
        )

    def _check_placeholders(self, engine_inputs: Any, field: str) -> None:
        if self.placeholders is not None:
            for engine_input in engine_inputs:
                self.placeholders.check_prompt(engine_input, field)

    def _check_length(self, length: int, account: VisualTokenAccount) -> None:
        """Check that the pruned prompt fits the model. vLLM's own message would not mention pruning."""
        limit = self.model_config.max_model_len
        if length < limit:
            return
        told = (
            f"The prompt has {length} tokens, {account.kept} of them visual, but the model takes at most {limit}, "
            "output included."
        )
        if account.fitting_ratio is None:
            raise VLLMValidationError(
                f"{told} Pruning cannot make it fit. Send less text, or fewer or smaller images.", parameter="messages"
            )
        room = limit - 1 - (length - account.kept) - (account.input - account.patches)
        raise VLLMValidationError(
            f"{told} Send prune_ratio {account.fitting_ratio} or more, visual_token_budget {room // account.media} or "
            "less, or fewer images.",
            parameter="prune_ratio" if account.budget is None else "visual_token_budget",
        )

    def _record(self, request: Any, account: VisualTokenAccount) -> None:
        """Record the visual tokens of a prompt for the usage of its response, and limit its output."""
        record = CURRENT_REQUEST.get()
        bodies = [request] if record is None or record.body is request else [request, record.body]
        if account.output_limit is not None:
            for body in bodies:  # vLLM reads the limit of a batch from its body, not from its conversations
                _limit_output(body, account.output_limit)
        if record is not None:
            record.accounts.append(account)


def _limit_output(body: Any, limit: int) -> None:
    """Limit the output length of a body, just as vLLM limits it to the context that is left."""
    given = {name: vars(body)[name] for name in OUTPUT_LIMITS if name in vars(body)}
    for name, length in given.items():
        if length is not None:
            setattr(body, name, min(length, limit))
    if given and set(given.values()) == {None}:
        setattr(body, next(iter(given)), limit)
