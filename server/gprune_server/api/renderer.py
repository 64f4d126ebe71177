"""Where every generating request becomes a prompt: the pruning it asks for is validated and passed on."""

from functools import partial
from typing import Any

from vllm.entrypoints.generate.base.protocol import validate_request_mm_kwargs
from vllm.exceptions import VLLMValidationError
from vllm.renderers.online_renderer import OnlineRenderer

from gprune_server.api.usage import CURRENT_REQUEST
from gprune_server.errors import MALFORMED
from gprune_server.guard.sequences import check_sequences
from gprune_server.observe.metrics import PruneMetrics
from gprune_server.policy import AdaptivePolicy
from gprune_server.resending import RENDER_KEY
from gprune_vllm.account import ACCOUNT_KEY, VisualTokenAccount
from gprune_vllm.adapter.refusal import ADAPTIVE_KEY, FIELDS, PruneRefusal, resolve_request, source_of
from gprune_vllm.settings import PruneSettings

OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


class PruneRenderer(OnlineRenderer):
    """Changes against `vllm.renderers.online_renderer.OnlineRenderer` (vLLM 0.32):

    - the pruning that a request asks for is validated and handed to the multimodal processor, while clients still
      cannot pass raw `mm_processor_kwargs` unless the operator trusts them;
    - the visual tokens of each prompt are noted for its answer's usage, and refusals are counted;
    - output ends before the positions do, where kept tokens keep their original ones;
    - a request for more than `max_sequences` sequences is refused.

    Attributes:
        policy: chooses the ratio of requests that name neither ratio nor budget; None where the default is fixed.
    """

    policy: AdaptivePolicy | None = None

    def __init__(self, settings: PruneSettings, metrics: PruneMetrics, max_sequences: int, **kwargs: Any) -> None:
        self._trust_client = bool(kwargs.pop("trust_request_mm_kwargs", False))
        # Clients' arguments are checked here, before ours join them; upstream's check would refuse ours too.
        super().__init__(trust_request_mm_kwargs=True, **kwargs)
        self._settings = settings
        self._metrics = metrics
        self._max_sequences = max_sequences

    async def preprocess_cmpl(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        self._check_client(request)
        return await super().preprocess_cmpl(request, *args, **kwargs)

    async def preprocess_chat(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        self._check_client(request)
        try:
            asked = self._asked(request)
            conversation, engine_inputs = await self._render(request, asked, *args, **kwargs)
        except PruneRefusal as refusal:
            self._metrics.refused(refusal.reason)
            raise
        for engine_input in engine_inputs:
            account = engine_input.get(ACCOUNT_KEY)
            if account is not None and account.images:
                self._check_length(len(engine_input["prompt_token_ids"]), account)
                self._tell(request, account)
                engine_input[RENDER_KEY] = partial(self._render_again, request, asked, *args, **kwargs)
        return conversation, engine_inputs

    def _asked(self, request: Any) -> dict[str, Any] | None:
        """Processor arguments with the pruning that is asked for, which is validated also where there is no image."""
        fields = {field: getattr(request, field, None) for field in FIELDS}
        named = {field: value for field, value in fields.items() if value is not None}
        client_kwargs: dict[str, Any] | None = request.mm_processor_kwargs
        if named:
            resolve_request(self._settings, named)
        if not named and self.policy is None:
            return client_kwargs
        return self._with_policy({**(client_kwargs or {}), **named})

    async def _render(self, request: Any, asked: dict[str, Any] | None, *args: Any, **kwargs: Any) -> Any:
        client_kwargs, request.mm_processor_kwargs = request.mm_processor_kwargs, asked
        try:
            # Upstream adjusts the request in place for tool calls, so that it must see this one and not a copy.
            return await super().preprocess_chat(request, *args, **kwargs)
        except MALFORMED as error:
            raise VLLMValidationError("a part of a message is not what its type says", parameter="messages") from error
        finally:
            request.mm_processor_kwargs = client_kwargs

    async def _render_again(self, request: Any, asked: dict[str, Any] | None, *args: Any, **kwargs: Any) -> Any:
        """Render with all images' data: so it is where vLLM does not count on the engine's cache."""
        whole = kwargs | {"skip_mm_cache": True}
        _, (engine_input,) = await self._render(request.model_copy(), asked, *args, **whole)
        return engine_input

    def _with_policy(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Processor arguments with the ratio that the policy chooses, where they name none. A batch has one."""
        if self.policy is None or source_of(asked) == "request":
            return asked
        record = CURRENT_REQUEST.get()
        chosen = self.policy.ratio() if record is None or record.chosen is None else record.chosen
        if record is not None:
            record.chosen = chosen
        return asked | {ADAPTIVE_KEY: chosen}

    def _check_client(self, request: Any) -> None:
        record = CURRENT_REQUEST.get()
        check_sequences(request if record is None else record.body, self._max_sequences)
        validate_request_mm_kwargs(
            mm_processor_kwargs=getattr(request, "mm_processor_kwargs", None),
            media_io_kwargs=getattr(request, "media_io_kwargs", None),
            trust_request_mm_kwargs=self._trust_client,
        )

    def _check_length(self, length: int, account: VisualTokenAccount) -> None:
        """Refuse a prompt that is too long even as it is pruned; vLLM would not say what to do about it."""
        if length >= self.model_config.max_model_len:
            raise VLLMValidationError(
                f"the prompt has {length} tokens, {account.kept} of them visual, and the model takes "
                f"{self.model_config.max_model_len} with the output: send a larger prune_ratio, a smaller "
                "visual_token_budget, or fewer images",
                parameter="prune_ratio",
            )

    def _tell(self, request: Any, account: VisualTokenAccount) -> None:
        """Note what pruning did to a prompt, for its answer's usage, and end its output before its positions."""
        record = CURRENT_REQUEST.get()
        bodies = [request] if record is None or record.body is request else [request, record.body]
        if account.output_limit is not None:
            for body in bodies:  # a batch reads the limit of the body, not of the conversation in it
                _limit_output(body, account.output_limit)
        if record is not None:
            record.accounts.append(account)


def _limit_output(body: Any, limit: int) -> None:
    """End output where the positions end, as vLLM ends it where the context ends, whatever length was asked for."""
    given = {name: vars(body)[name] for name in OUTPUT_LIMITS if name in vars(body)}
    for name, asked in given.items():
        if asked is not None:
            setattr(body, name, min(asked, limit))
    if given and set(given.values()) == {None}:
        setattr(body, next(iter(given)), limit)
