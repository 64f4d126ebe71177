"""vLLM's V2 model runner without its engine, its kernels and its GPU.

Its request state, encoder cache and runner, embedding merge and M-RoPE bookkeeping are vLLM's own. Only what a Triton
kernel does to positions is written down again here, from `vllm/v1/worker/gpu/mm/rope.py` (vLLM 0.32).
"""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from vllm.config import VllmConfig
from vllm.multimodal.inputs import MultiModalFeatureSpec
from vllm.multimodal.utils import strip_covered_mm_data
from vllm.v1.core.sched.output import NewRequestData
from vllm.v1.worker.gpu import buffer_utils
from vllm.v1.worker.gpu.mm.encoder_cache import EncoderCache
from vllm.v1.worker.gpu.mm.rope import RopeState
from vllm.v1.worker.gpu.model_states import init_model_state
from vllm.v1.worker.gpu.model_states.default import DefaultModelState

DIMENSIONS = 3


@dataclass
class Request:
    """A request on its way: its prompt (and answer, as tokens of text), and what the decoder saw of it so far."""

    name: str
    token_ids: list[int]
    features: list[MultiModalFeatureSpec]
    prefill: int
    computed: int = 0
    embeddings: list[Tensor] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)

    @property
    def remaining(self) -> int:
        return len(self.token_ids) - self.computed


class RunnerV2:
    """Steps through requests as the scheduler says."""

    def __init__(self, vllm_config: VllmConfig, model: Any, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(buffer_utils, "is_uva_available", lambda: False)
        self.model = model
        self.cache = EncoderCache()
        state = init_model_state(vllm_config, model, self.cache, torch.device("cpu"))
        assert type(state) is DefaultModelState
        assert isinstance(state.rope_state, RopeState)
        self.state, self.rope = state, state.rope_state
        self.slots: dict[str, int] = {}

    def add(self, request: Request) -> None:
        """A new request, of which `request.computed` tokens are found in the prefix cache."""
        features = strip_covered_mm_data(request.features, request.computed, uses_mrope=True)
        prefill = request.token_ids[: request.prefill]
        data = NewRequestData(request.name, prefill, features, None, None, ([],), request.computed, None)
        data.prefill_token_ids = prefill
        self.cache.add_request(request.name, features)
        self.slots[request.name] = len(self.slots)
        self.state.add_request(self.slots[request.name], data)
        _write_staged(self.rope)

    def step(self, scheduled: list[tuple[Request, int]], padding: int = 0) -> None:
        """Run a batch of so many tokens of each request, padded as for a CUDA graph."""
        batch = self._batch(scheduled, padding)
        embeddings = self.state.prepare_inputs_embeds(self._encoder_inputs(scheduled), batch, SimpleNamespace())
        for (request, count), start in zip(scheduled, batch.query_start_loc_np.tolist(), strict=False):
            self.rope.positions[:, start : start + count] = self._positions(request, count)
        positions = self.rope.get_positions(batch.num_tokens_after_padding)
        _, positions, embeddings = self.model(
            input_ids=None, positions=positions, intermediate_tensors=None, inputs_embeds=embeddings
        )
        assert positions.shape == (batch.num_tokens_after_padding,)
        for (request, count), start in zip(scheduled, batch.query_start_loc_np.tolist(), strict=False):
            request.embeddings.append(embeddings[start : start + count])
            request.positions += positions[start : start + count].tolist()
            request.computed += count

    def _positions(self, request: Request, count: int) -> Tensor:
        """What `_prepare_rope_positions_kernel` writes for one request."""
        slot, tokens = self.slots[request.name], slice(request.computed, request.computed + count)
        if request.computed < request.prefill:
            return self.rope.prefill_positions.gpu[DIMENSIONS * slot : DIMENSIONS * (slot + 1), tokens].long()
        return torch.arange(tokens.start, tokens.stop) + int(self.rope.prefill_delta.np[slot])

    def _encoder_inputs(self, scheduled: list[tuple[Request, int]]) -> dict[str, list[int]]:
        """Images that the scheduler would have encoded in this step."""
        needed: dict[str, list[int]] = {}
        for request, count in scheduled:
            for index, feature in enumerate(request.features):
                start, end = feature.mm_position.offset, feature.mm_position.offset + feature.mm_position.length
                if start < request.computed + count and end > request.computed:
                    needed.setdefault(request.name, []).append(index)
        return needed

    def _batch(self, scheduled: list[tuple[Request, int]], padding: int) -> Any:
        counts = np.array([count for _, count in scheduled])
        token_ids = [id for request, count in scheduled for id in request.token_ids[request.computed :][:count]]
        return SimpleNamespace(
            req_ids=[request.name for request, _ in scheduled],
            num_tokens=len(token_ids),
            num_tokens_after_padding=len(token_ids) + padding,
            num_scheduled_tokens=counts,
            query_start_loc_np=np.concatenate(([0], counts.cumsum())),
            prefill_len_np=np.array([request.prefill for request, _ in scheduled]),
            num_computed_tokens_np=np.array([request.computed for request, _ in scheduled]),
            input_ids=torch.tensor(token_ids + [0] * padding),
        )


def _write_staged(rope: RopeState) -> None:
    """What `_apply_write_kernel` does, and what follows it in `RopeState.apply_staged_writes`."""
    staged, start = rope.prefill_positions, 0
    writes = (staged._staged_write_indices, staged._staged_write_starts, staged._staged_write_cu_lens)
    for row, column, end in zip(*writes, strict=True):
        contents = torch.tensor(staged._staged_write_contents[start:end], dtype=staged.dtype)
        staged.gpu[row, column : column + end - start] = contents
        start = end
    staged.clear_staged_writes()
    rope.prefill_delta.copy_to_uva()
