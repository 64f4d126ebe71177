"""Stage 2: projector and language model, on features of the frozen tower."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlavaNextForConditionalGeneration

from evaluation.demo.training.conversation import PREFIX
from evaluation.demo.training.labels import IGNORED, SIDE
from evaluation.demo.training.relations import SIDES
from evaluation.scenes.questions import TASKS

LOOKED_UP = (2, 3)
"""Layers after which the place of a shape is to be known, so that those that follow can compare two."""
COMPARED = (3,)
"""Layers after which it is to be known on which side of a shape the one named before it is."""


class Reader(nn.Module):
    """A LLaVA-NeXT whose tower does not learn, and which reads pictures of one size in each batch.

    In training heads tell the place of each shape where its name ends, and on which side of the shape named before it
    is: how a relation is found, which is hardly learnt from yes and no alone. The heads are not part of the model.
    """

    def __init__(self, model: LlavaNextForConditionalGeneration) -> None:
        super().__init__()
        self.model = model
        self.place = nn.Linear(model.config.text_config.hidden_size, 2 * SIDE)
        self.side = nn.Linear(model.config.text_config.hidden_size, SIDES * 2)
        model.model.vision_tower.requires_grad_(False)

    def visual_tokens(self, pixels: Tensor, grid: tuple[int, int]) -> Tensor:
        """Embeddings `[scenes, visual_tokens, hidden_size]` of `pixels` `[scenes, crops, 3, size, size]`."""
        config, (width, height) = self.model.config, grid
        features = self.model.model.get_image_features(
            pixels,
            torch.tensor([[height, width]] * len(pixels)),
            vision_feature_layer=config.vision_feature_layer,
            vision_feature_select_strategy=config.vision_feature_select_strategy,
        )
        return torch.stack(list(features.pooler_output))

    def forward(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Logits of the answers' tokens `[answer_tokens, vocabulary]`, and the tokens `[answer_tokens]`."""
        return self.answers(self.text_states(batch)[-1], batch)

    def text_states(self, batch: dict[str, Any]) -> list[Tensor]:
        """What the questions' tokens are before the first layer and after each, `[scenes, num_tokens, hidden_size]`."""
        visual = self.visual_tokens(batch["pixels"], batch["grid"])
        embed = self.model.get_input_embeddings()
        prefix = embed(torch.tensor(PREFIX, device=visual.device)).expand(len(visual), -1, -1)
        embeddings = torch.cat((prefix, visual, embed(batch["tokens"])), dim=1)
        mask, positions = attention(batch["turns"], embeddings.shape[1] - batch["turns"].shape[1])
        states = self.model.model.language_model(
            inputs_embeds=embeddings,
            attention_mask=mask,
            position_ids=positions,
            use_cache=False,
            output_hidden_states=True,
        ).hidden_states
        return [each[:, -batch["tokens"].shape[1] :] for each in states]

    def answers(self, states: Tensor, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Logits and tokens, as `forward` returns them, of the last of `text_states`."""
        wanted = batch["labels"] != IGNORED
        return self.model.lm_head(states[wanted]).float(), batch["labels"][wanted]

    def places(self, states: Tensor) -> Tensor:
        """Logits of column and row of the shape whose name ends at a token, `[scenes, num_tokens, 2, SIDE]`."""
        logits: Tensor = self.place(states).float().unflatten(-1, (2, SIDE))  # [scenes, num_tokens, 2, SIDE]
        return logits

    def sides(self, states: Tensor) -> Tensor:
        """Logits of on which side of the shape named at a token the one named before it is, and of whether that is as
        the question says, `[scenes, num_tokens, SIDES, 2]`."""
        logits: Tensor = self.side(states).float().unflatten(-1, (SIDES, 2))  # [scenes, num_tokens, SIDES, 2]
        return logits


def attention(turns: Tensor, picture: int) -> tuple[Tensor, Tensor]:
    """Let all questions about a picture see it and none see another, as if each had been put alone.

    Args:
        turns: `[scenes, num_tokens]`, the question that a token belongs to, -1 for padding.
        picture: tokens before the questions.

    Returns:
        An additive mask `[scenes, 1, picture + num_tokens, picture + num_tokens]`, and positions
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
    mask = torch.zeros(visible.shape, device=turns.device).masked_fill_(~visible, -1e9)
    return mask.unsqueeze(1), positions


def reader_loss(reader: Reader, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy over the answers' tokens and over places, and of each task the fraction of tokens that is right."""
    states = reader.text_states(batch)
    logits, tokens = reader.answers(states[-1], batch)
    right = logits.argmax(-1) == tokens
    tasks = batch["tasks"][batch["labels"] != IGNORED]
    figures: dict[str, float] = {
        task: float(right[tasks == number].float().mean()) for number, task in enumerate(TASKS)
    }
    located, figures["place"] = found_loss([reader.places(states[layer]) for layer in LOOKED_UP], batch["places"])
    compared, figures["side"] = found_loss([reader.sides(states[layer]) for layer in COMPARED], batch["sides"])
    return functional.cross_entropy(logits, tokens) + located + compared, figures


def found_loss(found: Sequence[Tensor], wanted: Tensor) -> tuple[Tensor, float]:
    """Cross-entropy of logits `[scenes, num_tokens, told, classes]` over the classes wanted, on average over all that
    were found, and the fraction that the last of them tells. Nothing may be wanted at all.

    Args:
        found: of one layer each.
        wanted: `[scenes, num_tokens, told]`, `IGNORED` where there is nothing to tell.
    """
    known = wanted != IGNORED
    targets = wanted[known]
    losses = [functional.cross_entropy(each[known], targets, reduction="sum") for each in found]
    loss = torch.stack(losses).mean() / max(1, len(targets))
    return loss, float((found[-1].argmax(-1)[known] == targets).float().mean())
