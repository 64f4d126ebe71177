"""`/v1/visual_tokens`: which visual tokens of an image stay, computed by the engine that serves."""

from itertools import product
from typing import Annotated, Any, Literal

import vllm.envs
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from vllm.exceptions import VLLMValidationError
from vllm.multimodal.media.connector import MEDIA_CONNECTOR_REGISTRY

from gprune_vllm.config import WORKER_EXTENSION, settings_of
from gprune_vllm.inspection import Pixels
from gprune_vllm.plan import PlannedImage, PruneSpec
from gprune_vllm.refusal import BUDGET_KEY, METHOD_KEY, RATIO_KEY, resolve_request

MOST_PLANS = 64
"""Ratios or budgets, times methods, in one request."""

Choice = Annotated[Any, Field(description="One, or a list of them.")]


class VisualTokensRequest(BaseModel):
    """Body of `/v1/visual_tokens`."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    images: list[str] = Field(min_length=1, max_length=16, description="URLs of images, as in a chat.")
    prune_ratio: Choice = None
    visual_token_budget: Choice = None
    prune_method: Choice = None
    scores: bool = Field(False, description="Tell G-Prune's score of each token, after each iteration.")

    def specs(self, settings: Any) -> list[PruneSpec]:
        """What is asked: each ratio or budget with each method.

        Raises:
            PruneRefusal: one cannot be met.
            VLLMValidationError: they are too many, or none.
        """
        choices = {name: _listed(name, getattr(self, name)) for name in (RATIO_KEY, BUDGET_KEY, METHOD_KEY)}
        asked = [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]
        if len(asked) > MOST_PLANS:
            raise VLLMValidationError(f"at most {MOST_PLANS} combinations can be asked at once", parameter=RATIO_KEY)
        return [resolve_request(settings, fields) for fields in asked]


class Group(BaseModel):
    """Tokens of the base crop, or of the grid, row by row: their rows and columns cover the whole image.

    Attributes:
        scores: of each token, initially and after each iteration.
    """

    name: Literal["base", "grid"]
    rows: int
    columns: int
    scores: list[list[float]] | None = None


class Plan(BaseModel):
    """What stays for one ratio or budget and method. `input` and `kept` count as `usage.visual_tokens` does, newline
    tokens included; `kept_indices` are of the groups' patch tokens, ascending."""

    prune_ratio: float
    method: str
    budget: int | None = None
    input: int
    kept: int
    kept_indices: dict[str, list[int]]


class ImageTokens(BaseModel):
    """The visual tokens of one image of `width` x `height` pixels."""

    index: int
    width: int
    height: int
    groups: list[Group]
    plans: list[Plan]


class VisualTokensResponse(BaseModel):
    """Answer of `/v1/visual_tokens`."""

    object: Literal["visual_tokens"] = "visual_tokens"
    model: str
    data: list[ImageTokens]


class VisualTokens:
    """Shows selections of an engine that serves a LLaVA-NeXT.

    Args:
        engine_client: vLLM's.
        model_name: what the server calls its model.
    """

    def __init__(self, engine_client: Any, model_name: str) -> None:
        self._engine = engine_client
        self._model_name = model_name
        self._settings = settings_of(engine_client.model_config.hf_config)

    async def show(self, request: VisualTokensRequest) -> VisualTokensResponse:
        """Answer a request.

        Raises:
            VLLMValidationError: it asks for what cannot be had.
        """
        if self._engine.vllm_config.parallel_config.worker_extension_cls != WORKER_EXTENSION:
            raise VLLMValidationError("this server extends its workers otherwise (--worker-extension-cls)")
        specs = request.specs(self._settings)
        images = [await self._load(url) for url in request.images]
        data = [await self._inspect(number, image, specs, request.scores) for number, image in enumerate(images)]
        return VisualTokensResponse(model=self._model_name, data=data)

    async def _load(self, url: str) -> Any:
        """The picture of a URL, as a chat would load it."""
        config = self._engine.model_config
        connector = MEDIA_CONNECTOR_REGISTRY.load(
            vllm.envs.VLLM_MEDIA_CONNECTOR,
            allowed_local_media_path=config.allowed_local_media_path,
            allowed_media_domains=config.allowed_media_domains,
        )
        return (await connector.fetch_image_async(url)).media

    async def _inspect(self, number: int, image: Any, specs: list[PruneSpec], scored: bool) -> ImageTokens:
        processor = self._engine.renderer.get_mm_processor()
        tensor, planned = await run_in_threadpool(processor.plan_image, image, specs)
        pixels, rows = Pixels.of(tensor), [image.row() for image in planned]
        arguments = (pixels.data, pixels.dtype, list(pixels.shape), rows, scored)
        results = await self._engine.collective_rpc("gprune_inspect", args=arguments)
        found = next(result for result in results if result is not None)
        plan = planned[0].plan
        sides = {"base": (plan.patches_per_side,) * 2, "grid": (plan.grid_height, plan.grid_width)}
        scores = found["scores"] or [None, None]
        return ImageTokens(
            index=number,
            width=image.width,
            height=image.height,
            groups=[
                Group(name=name, rows=rows, columns=columns, scores=each)  # type: ignore[arg-type]
                for (name, (rows, columns)), each in zip(sides.items(), scores, strict=True)
            ],
            plans=[_plan(*each) for each in zip(planned, specs, found["kept"], strict=True)],
        )


def _plan(image: PlannedImage, spec: PruneSpec, kept: list[list[int]]) -> Plan:
    plan = image.plan
    ratio = spec.ratio if spec.budget is None else round(1 - plan.patches_kept / plan.patches, 4)
    return Plan(
        prune_ratio=ratio,
        method=spec.method,
        budget=spec.budget,
        input=plan.input,
        kept=plan.kept,
        kept_indices=dict(zip(("base", "grid"), kept, strict=True)),
    )


def _listed(name: str, choice: object) -> list[Any]:
    """A choice as a list; none is the default.

    Raises:
        VLLMValidationError: the list is empty.
    """
    if choice == []:
        raise VLLMValidationError(f"{name} must name at least one", parameter=name)
    return choice if isinstance(choice, list) else [choice]
