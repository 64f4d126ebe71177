"""One prompt's images and videos on their way through the multimodal processor, with their plans."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from transformers.video_utils import VideoMetadata
from vllm.inputs import MultiModalHashes
from vllm.multimodal.hasher import MultiModalHasher
from vllm.multimodal.parse import ImageProcessorItems, MultiModalDataItems, VideoProcessorItems
from vllm.multimodal.processing import PromptUpdateDetails
from vllm.multimodal.processing.inputs import ProcessorInputs

from gprune_vllm.account import Source, VisualTokenAccount
from gprune_vllm.adapter.refusal import METHOD_KEY, SETTINGS_KEY, without_pruning
from gprune_vllm.plan import MediaSize, PlannedImage, PruneSpec, TokenPlan, effective_ratio

PLAN_FIELDS = {"image": "token_plan", "video": "video_token_plan"}
"""Field of each modality that carries each `PlannedImage` to the model: the int64 tensor of its row, on the CPU."""


def planned_in(item: Mapping[str, Any] | None) -> PlannedImage | None:
    """Read the plan of what the model gets as `item`; None for precomputed embeddings, and where there is no data."""
    rows = [item[name] for name in PLAN_FIELDS.values() if name in item] if item else []
    return PlannedImage.of(rows[0].data.tolist()) if rows else None


@dataclass
class PlannedPlaceholders(PromptUpdateDetails):
    """Placeholder tokens of one image or video, with the plan they were counted by (None for precomputed embeddings).

    Changes against `vllm.multimodal.processing.PromptUpdateDetails` (vLLM 0.32): carries the plan, so that it can
    still be read where vLLM finds the image in its cache.
    """

    plan: TokenPlan | None = None

    @classmethod
    def of(cls, whole: PromptUpdateDetails, plan: TokenPlan | None) -> Self:
        """Shorten the placeholders of the whole image to those that its plan keeps.

        They may come in several runs with text between, such as the frames of a video. The tokens of a run are all
        alike, and each run keeps as many.
        """
        if plan is None or not plan.pruned:
            return cls(whole.full, whole.is_embed, plan)
        embeds = [True] * len(whole.full) if whole.is_embed is None else whole.is_embed(whole.full).tolist()
        starts = [place for place, embed in enumerate(embeds) if embed and not (place and embeds[place - 1])]
        kept, full = plan.kept // len(starts), plan.input // len(starts)
        dropped = {place for start in starts for place in range(start + kept, start + full)}
        return cls([token for place, token in enumerate(whole.full) if place not in dropped], whole.is_embed, plan)

    @property
    def kept(self) -> int:
        """Visual tokens after pruning."""
        return self.whole if self.plan is None else self.plan.kept

    @property
    def input(self) -> int:
        """Visual tokens before pruning."""
        return self.whole if self.plan is None else self.plan.input

    @property
    def span(self) -> int:
        """Positions that the visual tokens take where kept ones keep theirs."""
        return self.whole if self.plan is None else self.plan.span

    @property
    def whole(self) -> int:
        """Placeholders of what has no plan, text between them not counted."""
        return len(self.full) if self.is_embed is None else int(self.is_embed(self.full).sum())


@dataclass
class PlannedInputs(ProcessorInputs):
    """Inputs of one call of the processor, with the resolved request and the plans of its images and videos.

    Changes against `vllm.multimodal.processing.inputs.ProcessorInputs` (vLLM 0.32): has a place for these, and

    - `get_mm_hashes` makes the plan of an image part of its cache keys, where upstream takes what the request asks for.
      However it is asked for, what keeps as many tokens is found in the caches, and so are unpruned images beside
      pruned ones. An image with a name of its own keeps upstream's keys: by its name alone it has no size to plan.

    Attributes:
        plans: of each modality; None for what vLLM's cache knows by its name only.
        placeholders: of each modality, once it is processed.
        largest_ratio: the largest that the request may ask for; None if there is no limit.
    """

    plans: dict[str, list[TokenPlan | None]] = field(default_factory=dict)
    placeholders: dict[str, list[PlannedPlaceholders]] = field(default_factory=dict)
    spec: PruneSpec = field(default_factory=PruneSpec)
    source: Source = "default"
    tenant: str = ""
    largest_ratio: float | None = None

    def get_mm_hashes(self, model_id: str, hash_algorithm: Any) -> MultiModalHashes:
        names = [name for names in (self.mm_uuid_items or {}).values() for name in names]
        if any(name is not None for name in names):
            return super().get_mm_hashes(model_id, hash_algorithm)
        kwargs = self.hf_processor_mm_kwargs
        whole = ProcessorInputs(
            self.prompt, self.mm_data_items, None, without_pruning(kwargs), media_io_kwargs=self.media_io_kwargs
        )
        hashes = dict(whole.get_mm_hashes(model_id, hash_algorithm))
        selection = {name: kwargs[name] for name in (METHOD_KEY, SETTINGS_KEY) if name in kwargs}
        for modality, plans in self.plans.items():
            hashes[modality] = [
                MultiModalHasher.hash_kwargs(hash_algorithm, whole=key, kept=plan.kept_of_groups, **selection)
                if plan is not None and plan.pruned
                else key
                for key, plan in zip(hashes[modality], plans, strict=True)
            ]
        return hashes

    @property
    def known_plans(self) -> list[TokenPlan]:
        """All plans there are."""
        return [plan for plans in self.plans.values() for plan in plans if plan is not None]

    @property
    def all_placeholders(self) -> list[PlannedPlaceholders]:
        """Placeholders of all modalities."""
        return [item for items in self.placeholders.values() for item in items]


def sizes_of(items: MultiModalDataItems) -> dict[str, list[MediaSize | None]]:
    """List the sizes of images and videos, None for what vLLM's cache knows by its name only; embeddings have none."""
    sizes: dict[str, list[MediaSize | None]] = {}
    for modality, data in items.items():
        if isinstance(data, ImageProcessorItems):
            sizes[modality] = [_image_size(data, index) for index in range(len(data))]
        elif isinstance(data, VideoProcessorItems):
            sizes[modality] = [_video_size(data[index]) for index in range(len(data))]
    return sizes


def _image_size(images: ImageProcessorItems, index: int) -> MediaSize | None:
    if images[index] is None:
        return None
    size = images.get_image_size(index)
    return MediaSize(size.height, size.width)


def _video_size(video: Any) -> MediaSize | None:
    """Size of a video: its frames, or a pair of these with their metadata."""
    if video is None:
        return None
    frames, metadata = video if isinstance(video, tuple) else (video, {})
    one = VideoProcessorItems([frames])
    known = {name: metadata.get(name) for name in ("total_num_frames", "fps", "frames_indices")}
    rate = VideoMetadata(**known).sampled_fps
    size = one.get_frame_size(0)
    return MediaSize(size.height, size.width, one.get_num_frames(0), 1 / rate if rate else 0.0)


def count_places(prompt: Sequence[int], placeholder: Sequence[int]) -> int:
    """Count where the tokens of a placeholder stand in a prompt one after the other."""
    size = len(placeholder)
    return sum(list(prompt[start : start + size]) == list(placeholder) for start in range(len(prompt) - size + 1))


def smallest_ratio(plans: Sequence[TokenPlan], room: int, largest: float) -> float | None:
    """Return the smallest ratio, in hundredths and at most `largest`, that leaves at most `room` visual tokens."""
    for hundredths in range(1, 100):
        spec = PruneSpec(hundredths / 100)
        if spec.ratio > largest:
            return None
        kept = (
            plan.structural + sum(spec.count_kept(group.tokens) * group.copies for group in plan.groups)
            for plan in plans
        )
        if sum(kept) <= room:
            return spec.ratio
    return None


def account_of(inputs: PlannedInputs) -> VisualTokenAccount:
    """Count the visual tokens of a prompt whose images and videos are planned."""
    items = inputs.all_placeholders
    plans = [item.plan for item in items if item.plan is not None]
    patches = sum(plan.patches for plan in plans)
    ratio = inputs.spec.ratio
    if inputs.spec.budget is not None and patches:
        ratio = effective_ratio(sum(plan.patches_kept for plan in plans), patches)
    return VisualTokenAccount(
        input=sum(item.input for item in items),
        kept=sum(item.kept for item in items),
        ratio=ratio,
        images=len(inputs.placeholders.get("image", [])),
        videos=len(inputs.placeholders.get("video", [])),
        source=inputs.source,
        method=inputs.spec.method,
        budget=inputs.spec.budget,
        patches=patches,
        tenant=inputs.tenant,
    )
