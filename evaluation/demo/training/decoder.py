"""Stage 2: projector and language model, on features of the frozen tower."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlavaNextForConditionalGeneration

from evaluation.demo.checkpoint import GRID_PINPOINTS, PATCH
from evaluation.demo.questions import TASKS
from evaluation.demo.scene import CROP
from evaluation.demo.training.conversation import PREFIX
from evaluation.demo.training.labels import IGNORED
from gprune_vllm.layout import grid_index
from gprune_vllm.plan import PruneSpec, plan_tokens


class Reader(nn.Module):
    """A LLaVA-NeXT whose tower does not learn, and which reads pictures of one size in each batch."""

    def __init__(self, model: LlavaNextForConditionalGeneration) -> None:
        super().__init__()
        self.model = model
        model.model.vision_tower.requires_grad_(False)

    def visual_tokens(self, pixels: Tensor, grid: tuple[int, int]) -> Tensor:
        """Embeddings `[scenes, visual_tokens, hidden_size]` of `pixels` `[scenes, crops, 3, size, size]`."""
        inner = self.model.model
        width, height = grid
        plan = plan_tokens((height, width), GRID_PINPOINTS, CROP, PATCH, PruneSpec())
        with torch.no_grad():
            states = inner.vision_tower(pixels.flatten(0, 1), output_hidden_states=True).hidden_states
        features = states[-2][:, 1:].unflatten(0, pixels.shape[:2])  # [scenes, crops, patches, tower_size]
        projected = inner.multi_modal_projector(features).flatten(1, 2)  # [scenes, crops * patches, hidden_size]
        rows = projected[:, grid_index(plan, projected.device)].unflatten(1, (plan.grid_height, plan.grid_width))
        newlines = inner.image_newline.expand(*rows.shape[:2], 1, -1)  # [scenes, rows, 1, hidden_size]
        lines = torch.cat((rows, newlines.to(rows)), dim=2).flatten(1, 2)  # [scenes, grid_tokens + rows, hidden_size]
        return torch.cat((projected[:, : plan.base_tokens], lines), dim=1)

    def forward(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Logits of the answers' tokens `[answer_tokens, vocabulary]`, and the tokens `[answer_tokens]`."""
        visual = self.visual_tokens(batch["pixels"], batch["grid"])
        embed = self.model.get_input_embeddings()
        prefix = embed(torch.tensor(PREFIX, device=visual.device)).expand(len(visual), -1, -1)
        embeddings = torch.cat((prefix, visual, embed(batch["tokens"])), dim=1)
        mask, positions = attention(batch["turns"], embeddings.shape[1] - batch["turns"].shape[1])
        states = self.model.model.language_model(
            inputs_embeds=embeddings, attention_mask=mask, position_ids=positions, use_cache=False
        ).last_hidden_state
        wanted = batch["labels"] != IGNORED
        text = states[:, -batch["tokens"].shape[1] :][wanted]  # [answer_tokens, hidden_size]
        return self.model.lm_head(text).float(), batch["labels"][wanted]


def attention(turns: Tensor, picture: int) -> tuple[Tensor, Tensor]:
    """Let all questions about a picture see it and none see another, as if each had been put alone.

    Args:
        turns: `[scenes, num_tokens]`, the question that a token belongs to, -1 for padding.
        picture: tokens before the questions.

    Returns:
        An additive mask `[scenes, 1, picture + num_tokens, picture + num_tokens]` in bfloat16, and positions
        `[scenes, picture + num_tokens]`, which begin anew with each question.
    """
    scenes, num_tokens = turns.shape
    length = picture + num_tokens
    causal = torch.ones(length, length, dtype=torch.bool, device=turns.device).tril()
    same = turns.unsqueeze(-1) == turns.unsqueeze(-2)  # [scenes, num_tokens, num_tokens]
    visible = causal.repeat(scenes, 1, 1)
    visible[:, picture:, picture:] &= same
    begins = functional.pad(turns[:, 1:] != turns[:, :-1], (1, 0), value=True)  # [scenes, num_tokens]
    places = torch.arange(num_tokens, device=turns.device).expand(scenes, -1)
    own = places - torch.where(begins, places, 0).cummax(dim=-1).values
    positions = torch.cat((torch.arange(picture, device=turns.device).expand(scenes, -1), own + picture), dim=-1)
    mask = torch.zeros(visible.shape, dtype=torch.bfloat16, device=turns.device).masked_fill_(~visible, -1e9)
    return mask.unsqueeze(1), positions


def reader_loss(reader: Reader, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy over the answers' tokens, and of each task the fraction of tokens that is right."""
    logits, tokens = reader(batch)
    right = logits.argmax(-1) == tokens
    tasks = batch["tasks"][batch["labels"] != IGNORED]
    figures: dict[str, float] = {
        task: float(right[tasks == number].float().mean()) for number, task in enumerate(TASKS)
    }
    return functional.cross_entropy(logits, tokens), figures
