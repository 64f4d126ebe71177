"""Position offsets and draft models: what a draft reads of an image has none."""

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from vllm.config import VllmConfig


def drafting_state(vllm_config: "VllmConfig", size: int) -> type[Any]:
    """Make the class of a model's state in vLLM's second runner. Changes against the one that vLLM 0.32 would choose:

    - `gather_mm_embeddings`, which the runner calls for a draft model, leaves out the offsets that travel with the
      embeddings. The model itself gets them another way.

    A draft's own positions count tokens, as vLLM has it for every model. They affect how often a draft is accepted, but
    not the answer.

    Args:
        size: width of an embedding without its offsets.
    """
    # Only where this runner runs: it imports Triton.
    from vllm.v1.worker.gpu.model_states import resolve_model_state_cls

    chosen: Any = resolve_model_state_cls(vllm_config, nn.Module())  # which has no opinion

    class DraftingState(chosen):
        def gather_mm_embeddings(self, input_batch: Any, draft_lookahead: int = 0) -> tuple[list[Tensor], Tensor]:
            embeddings, is_multimodal = super().gather_mm_embeddings(input_batch, draft_lookahead)
            return [each[:, :size] for each in embeddings], is_multimodal

    return DraftingState
