"""The part of a pruning model that is the same for all families."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from vllm.config import VllmConfig
from vllm.distributed import get_tensor_model_parallel_rank
from vllm.multimodal.inputs import MultiModalFeatureSpec

from gprune_vllm.adapter.catching import caught_inputs
from gprune_vllm.adapter.choices import MEMORY, ChoiceMemory, memory_limit
from gprune_vllm.adapter.config import settings_of
from gprune_vllm.adapter.drafting import drafting_state
from gprune_vllm.adapter.family import Family, Layout
from gprune_vllm.adapter.inputs import PLAN_FIELDS, planned_in
from gprune_vllm.adapter.positions import (
    PositionOffsets,
    append_offsets,
    embeds_of,
    request_positions,
    run_ends,
    split_offsets,
)
from gprune_vllm.adapter.pruning import KeptTokens, lay_out, select_groups
from gprune_vllm.adapter.timing import SelectionTimer, SharedHistogram, metrics_directory
from gprune_vllm.methods.registry import merges, needs_attention
from gprune_vllm.methods.selection import Selection
from gprune_vllm.plan import PlannedImage, TokenPlan

Seen = Mapping[str, Tensor]
"""What the tower attended to, by the names of the options of methods that need it."""


class PruningModel:
    """Mixin in front of a multimodal model of vLLM 0.32 and `SupportsMRoPE`. Changes against the model:

    - `embed_multimodal` drops the rows that an image's plan drops. Images without pruning are the base class's own;
    - `load_weights` forgets the choices that the old weights made;
    - with original positions, `get_mrope_input_positions`, `embed_input_ids` and `forward` give kept tokens the
      positions they had in the unpruned sequence (see `gprune_vllm.adapter.positions`); the language model keeps
      plain RoPE;
    - `get_mm_lora_token_counts` counts what the tower and the projector really see;
    - `get_model_state_cls` spares draft models the position offsets, in vLLM's second runner;
    - `get_encoder_cudagraph_config` captures nothing: graphs of the tower bypass `embed_multimodal`, as upstream says
      of its own pruning of videos.

    Attributes:
        family: of the model.
        axes: positions of a token in the language model.
    """

    family: ClassVar[Family]
    axes: ClassVar[int] = 1
    config: Any
    language_model: Any
    timer: SelectionTimer | None = None

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)  # type: ignore[call-arg]
        self.engine_config = vllm_config
        self.prepare(vllm_config.scheduler_config.max_num_batched_tokens, memory_limit(vllm_config))
        self.timer = _selection_timer(self.settings.methods)

    def prepare(self, max_num_tokens: int, memory: int = MEMORY) -> None:
        """Make what pruning needs, once the base class's modules are there.

        Args:
            max_num_tokens: tokens in the largest batch.
            memory: bytes of remembered choices, at most.
        """
        self.settings, self.choices = settings_of(self.config), ChoiceMemory(memory)
        self.tower_attention = self.family.attention(self) if self._needs_attention(self.settings.methods) else None
        self.offsets: PositionOffsets | None = None
        if self.settings.prune_positions == "original":
            self.offsets = PositionOffsets(max_num_tokens, _rotary_positions(self.language_model), self.axes)

    @property
    def text_size(self) -> int:
        """Width of what the language model reads of a token."""
        return int(self.config.get_text_config().hidden_size)

    @property
    def embedding_size(self) -> int:
        """Width of an embedding without its offsets, what deeper layers read included."""
        return self.text_size

    def embed_multimodal(self, **kwargs: object) -> Any:
        """Embed images or videos, `[kept, embedding_size]` each, pruned ones with their position offsets appended."""
        rows: Any = [row for name in PLAN_FIELDS.values() for row in kwargs.pop(name, ())]  # type: ignore[attr-defined]
        planned = [PlannedImage.of(row.tolist()) for row in rows]
        if not any(image.plan.pruned for image in planned):
            return super().embed_multimodal(**kwargs)  # type: ignore[misc]
        return self.embed_pruned(planned, **kwargs)

    def embed_pruned(self, planned: Sequence[PlannedImage], **kwargs: object) -> list[Tensor]:
        """Embed images of which some are pruned: all rows first, of which those that stay are taken."""
        embeddings, features, seen = self._watched(planned, **kwargs)
        return [
            self._drop(*image) if image[-1].plan.pruned else image[0]
            for image in zip(embeddings, features, seen, planned, strict=True)
        ]

    def _watched(
        self, planned: Sequence[PlannedImage], **kwargs: object
    ) -> tuple[Sequence[Tensor], Sequence[Tensor], Sequence[Seen]]:
        """Embed images whole.

        Returns:
            Of each image its embeddings `[input, embedding_size]`, what its tokens are scored on, `[tokens, size]`, and
            what the tower attended to, where a plan needs it.
        """
        with ExitStack() as stack:
            caught = stack.enter_context(caught_inputs(*self.family.projector(self)))
            with self.watching(planned) as take:
                embeddings = super().embed_multimodal(**kwargs)  # type: ignore[misc]
            seen = take()
        if self.settings.prune_stage == "projector":
            features: Sequence[Tensor] = [rows[:, : self.text_size] for rows in embeddings]
        else:
            features = self.family.features(self, caught, planned)
        parts: list[Seen] = [{name: values[i] for name, values in seen.items()} for i in range(len(embeddings))]
        return embeddings, features, parts

    @contextmanager
    def watching(self, planned: Sequence[PlannedImage]) -> Iterator[Any]:
        """Watch the tower's attention inside, where a plan needs it.

        Yields:
            A function that returns what the tower attended to, by name, with a value for each of its units.
        """
        if not self._watches(planned) or self.tower_attention is None:
            yield dict
            return
        with self.tower_attention.watching():
            yield self.tower_attention.take

    def _drop(self, embeddings: Tensor, features: Tensor, seen: Seen, image: PlannedImage) -> Tensor:
        """Take the rows of one image that stay.

        Args:
            embeddings: `[input, embedding_size]`, all rows.
            features: `[tokens, size]`, what they are scored on. Methods that merge tokens merge the embeddings.
        """
        layout = self.family.layout(image.plan, embeddings.device)
        rows = [embeddings[positions] for positions in layout.groups]
        if merges(self.method_of(image)):
            selections = self.select(rows, seen, image)
        else:
            chosen = self.select(self.family.split(features, image.plan), seen, image)
            selections = [Selection.of(*each) for each in zip(rows, (one.index for one in chosen), strict=True)]
        return self.finish(KeptTokens.of(selections, layout), embeddings[layout.structural], layout, image.plan)

    def select(self, features: Sequence[Tensor], seen: Seen, image: PlannedImage) -> list[Selection]:
        """Select among the tokens of each group: those selected before, where the image is remembered.

        Args:
            features: of each group, `[tokens, size]`.
            seen: what the tower attended to, in its own order.
        """
        if (remembered := self.choices.recall(image, features)) is not None:
            return remembered
        method, device = self.method_of(image), features[0].device
        of_groups = {name: self.family.split(values, image.plan) for name, values in seen.items()}
        options = self.settings.selector_options
        with self.timer.time(device, method) if self.timer else nullcontext():
            selections = select_groups(features, image.plan, method, of_groups, seed=image.digest, **options)
        if not merges(method):  # what others were merged into cannot be recalled from indices
            self.choices.remember(image, selections)
        return selections

    def finish(self, kept: KeptTokens, structural: Tensor, layout: Layout, plan: TokenPlan) -> Tensor:
        """Lay out the embeddings of an image's kept tokens, and append their offsets where positions are original."""
        embeddings, positions = lay_out(kept, structural, layout)
        if self.offsets is None:
            return embeddings
        return append_offsets(embeddings, self.offsets_of(positions, layout, plan))

    def offsets_of(self, positions: Tensor, layout: Layout, plan: TokenPlan) -> Tensor:
        """Compute what the positions that vLLM gives an image's kept tokens lack: those dropped before in their run.

        Args:
            positions: `[kept]` int64, of the tokens in the unpruned sequence, ascending.

        Returns:
            `[kept, axes]` int64.
        """
        run = positions // (plan.input // layout.runs)
        dropped = run * ((plan.input - plan.kept) // layout.runs)  # in the runs before
        return (positions - torch.arange(len(positions), device=positions.device) - dropped).unsqueeze(1)

    def scored(self, planned: Sequence[PlannedImage], **kwargs: object) -> tuple[Tensor, Seen]:
        """Return what one image's tokens are scored on, for any of these plans of it, and what the tower attended to.

        Args:
            kwargs: a batch of this image alone.
        """
        most_watched = max(planned, key=lambda image: self._watches([image]))
        _, (features,), (seen,) = self._watched([most_watched], **kwargs)
        return features, seen

    def method_of(self, image: PlannedImage) -> str:
        """Name the selection method of an image."""
        return self.settings.methods[image.method]

    def _watches(self, planned: Sequence[PlannedImage]) -> bool:
        return self._needs_attention([self.method_of(image) for image in planned if image.plan.pruned])

    def _needs_attention(self, methods: Sequence[str]) -> bool:
        return any(needs_attention(method) for method in methods)

    def get_mrope_input_positions(
        self, input_tokens: list[int], mm_features: list[MultiModalFeatureSpec]
    ) -> tuple[Tensor, int]:
        """Positions `[3, num_tokens]` int64 of a prompt without its images' own offsets. See `SupportsMRoPE`."""
        return request_positions(len(input_tokens), [run for feature in mm_features for run in _runs(feature)])

    def embed_input_ids(
        self, input_ids: Tensor, multimodal_embeddings: Any = None, *, is_multimodal: Tensor | None = None
    ) -> Tensor:
        if self.offsets is not None:
            multimodal_embeddings = self._take_offsets(multimodal_embeddings, is_multimodal)
        embedded: Tensor = super().embed_input_ids(  # type: ignore[misc]
            input_ids, multimodal_embeddings, is_multimodal=is_multimodal
        )
        return embedded

    def _take_offsets(self, multimodal_embeddings: Any, is_multimodal: Tensor | None) -> Any:
        """Move the offsets of a batch's visual tokens from their embeddings to where `forward` reads them."""
        assert self.offsets is not None
        embeddings = [] if multimodal_embeddings is None else list(multimodal_embeddings)
        if is_multimodal is None or all(item.shape[-1] == self.embedding_size for item in embeddings):
            self.offsets.clear()
            return multimodal_embeddings
        parts = [split_offsets(item, self.embedding_size, self.axes) for item in embeddings]
        self.offsets.write(torch.cat([offsets for _, offsets in parts]), is_multimodal)
        return [item for item, _ in parts]

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: Any = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: object,
    ) -> Any:
        if self.offsets is not None:
            positions = self.offsets.move(positions)
        return super().forward(  # type: ignore[misc]
            input_ids, positions, intermediate_tensors, inputs_embeds, **kwargs
        )

    def get_mm_lora_token_counts(self, *, modality: str, mm_kwargs: Any, num_mm_embeds: int) -> tuple[int, int | None]:
        if (planned := planned_in(mm_kwargs)) is not None:  # the tower and the projector see all tokens
            num_mm_embeds = planned.plan.input
        counts: tuple[int, int | None] = super().get_mm_lora_token_counts(  # type: ignore[misc]
            modality=modality, mm_kwargs=mm_kwargs, num_mm_embeds=num_mm_embeds
        )
        return counts

    def get_model_state_cls(self) -> type[Any]:
        return drafting_state(self.engine_config, self.embedding_size)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> Any:
        self.choices.clear()
        return super().load_weights(weights)  # type: ignore[misc]

    def get_encoder_cudagraph_config(self) -> Any:
        return replace(super().get_encoder_cudagraph_config(), modalities=[])  # type: ignore[misc]


def _runs(feature: MultiModalFeatureSpec) -> list[tuple[int, int]]:
    """List where the runs of an image's placeholders end in the prompt, and how many tokens of each were dropped.

    Precomputed embeddings have no plan, and lost no tokens.
    """
    planned = planned_in(feature.data)
    if planned is None:
        return []
    ends = run_ends(embeds_of(feature.mm_position)).nonzero().flatten() + feature.mm_position.offset + 1
    return [(end, (planned.plan.input - planned.plan.kept) // len(ends)) for end in ends.tolist()]


def _selection_timer(methods: Sequence[str]) -> SelectionTimer | None:
    """A timer in one worker of each tensor-parallel group, where the API process is on the same machine."""
    directory = metrics_directory()
    if get_tensor_model_parallel_rank() or directory is None or not directory.is_dir():
        return None
    return SelectionTimer(SharedHistogram(directory, methods))


def _rotary_positions(language_model: nn.Module) -> int:
    """Positions in the shortest rotary table of the language model, or a number beyond all where it has none."""
    caches = [getattr(module, "cos_sin_cache", None) for module in language_model.modules()]
    return min((len(cache) for cache in caches if isinstance(cache, Tensor)), default=torch.iinfo(torch.int64).max)
