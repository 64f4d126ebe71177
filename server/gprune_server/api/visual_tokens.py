"""`/v1/visual_tokens`: the visual tokens of an image that the serving engine keeps."""

from typing import Any

import vllm.envs
from starlette.concurrency import run_in_threadpool
from vllm.exceptions import VLLMValidationError
from vllm.multimodal.media.connector import MEDIA_CONNECTOR_REGISTRY

from gprune_server.api.visual_token_schema import (
    Group,
    ImageTokens,
    Kind,
    Plan,
    PruningChoices,
    VisualTokensRequest,
    VisualTokensResponse,
)
from gprune_server.choosing.chooser import Chooser
from gprune_vllm.adapter.config import WORKER_EXTENSION
from gprune_vllm.adapter.inspection import pack
from gprune_vllm.families import family_of
from gprune_vllm.plan import PlannedImage, PruneSpec


class VisualTokens:
    """Selections of an engine that serves a supported model.

    Args:
        engine_client: vLLM's engine client.
        model_name: name of the served model.
        chooser: knows the settings of who sends a request.
    """

    def __init__(self, engine_client: Any, model_name: str, chooser: Chooser) -> None:
        self._engine = engine_client
        self._model_name = model_name
        self._chooser = chooser
        self._family = family_of(engine_client.model_config.architecture)

    @property
    def choices(self) -> PruningChoices:
        """Pruning that requests may ask for."""
        settings = self._chooser.settings
        return PruningChoices(
            methods=list(settings.methods),
            default_prune_ratio=settings.default_prune_ratio,
            max_prune_ratio=settings.max_prune_ratio,
        )

    async def show(self, request: VisualTokensRequest) -> VisualTokensResponse:
        """Return the kept tokens of each image.

        Raises:
            VLLMValidationError: the request is invalid, or the engine lacks gprune's worker extension.
        """
        if self._engine.vllm_config.parallel_config.worker_extension_cls != WORKER_EXTENSION:
            raise VLLMValidationError(
                "This server has another worker extension (--worker-extension-cls) and cannot show visual tokens. "
                "The operator can start it without that flag."
            )
        settings = self._chooser.settings
        specs = request.specs(settings)
        media: list[tuple[Kind, str]] = [("image", url) for url in request.images]
        media += [("video", url) for url in request.videos]
        for modality, _ in media:
            if modality not in self._family.modalities:
                raise VLLMValidationError(f"The served model takes no {modality}s.", parameter=f"{modality}s")
        items = [(modality, await self._load(modality, url)) for modality, url in media]
        data = [
            await self._inspect(number, *item, specs, settings.max_prune_ratio, request.scores)
            for number, item in enumerate(items)
        ]
        return VisualTokensResponse(model=request.model or self._model_name, data=data)

    async def check_model(self, request: VisualTokensRequest, chat: Any) -> Any:
        """Check that a chat may name the model of a request.

        Args:
            request: the request.
            chat: vLLM's `OpenAIServingChat`, which also knows adapters.

        Returns:
            vLLM's `ErrorResponse`, or None if it may.

        Raises:
            VLLMValidationError: it names an adapter that may change the vision tower, of which the engine shows the
                selection without adapters.
        """
        unknown = await chat._check_model(request)
        lora = self._engine.vllm_config.lora_config
        base = not request.model or chat.models.is_base_model(request.model)
        if unknown is None and not base and lora is not None and lora.enable_tower_connector_lora:
            raise VLLMValidationError(
                "The visual tokens of an adapter cannot be shown where adapters apply to the vision tower. "
                "Name the base model.",
                parameter="model",
            )
        return unknown

    async def _load(self, modality: str, url: str) -> Any:
        """Load the image or video at a URL, as a chat does."""
        config = self._engine.model_config
        connector: Any = MEDIA_CONNECTOR_REGISTRY.load(
            vllm.envs.VLLM_MEDIA_CONNECTOR,
            allowed_local_media_path=config.allowed_local_media_path,
            allowed_media_domains=config.allowed_media_domains,
        )
        if modality == "image":
            return (await connector.fetch_image_async(url)).media
        processor = self._engine.renderer.get_mm_processor().info.get_hf_processor().video_processor
        return await connector.fetch_video_async(url, video_processor=type(processor).__name__)

    async def _inspect(
        self,
        number: int,
        modality: Kind,
        item: Any,
        specs: list[PruneSpec],
        largest_ratio: float | None,
        scored: bool,
    ) -> ImageTokens:
        processor = self._engine.renderer.get_mm_processor()
        batch, size, planned = await run_in_threadpool(processor.plan_item, modality, item, specs, largest_ratio)
        packed = {name: pack(tensor) for name, tensor in batch.items()}
        arguments = (packed, [image.row() for image in planned], scored)
        results = await self._engine.collective_rpc("gprune_inspect", args=arguments)
        found = next(result for result in results if result is not None)
        groups = dict(zip(self._family.groups, planned[0].plan.groups, strict=True))
        scores = found["scores"] or [None] * len(groups)
        return ImageTokens(
            index=number,
            kind=modality,
            width=size.width,
            height=size.height,
            groups=[
                Group(name=name, rows=group.rows, columns=group.columns, frames=group.copies, scores=each)
                for (name, group), each in zip(groups.items(), scores, strict=True)
            ],
            plans=[self._plan(*each) for each in zip(planned, specs, found["kept"], strict=True)],
        )

    def _plan(self, image: PlannedImage, spec: PruneSpec, kept: list[list[int]]) -> Plan:
        plan = image.plan
        return Plan(
            prune_ratio=spec.ratio if spec.budget is None else plan.effective_ratio,
            method=spec.method,
            budget=spec.budget,
            input=plan.input,
            kept=plan.kept,
            kept_indices=dict(zip(self._family.groups, kept, strict=True)),
        )
