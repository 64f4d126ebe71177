"""Stage 2: projector and language model, on features of the frozen tower."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from evaluation.demo.training.families.family import Family
from evaluation.demo.training.labels import IGNORED, SIDE
from evaluation.demo.training.relations import SIDES
from evaluation.scenes.questions import TASKS

LOOKED_UP = (2, 3)
"""Layers after which the place of a shape is to be known, so that those that follow can compare two."""
COMPARED = (3,)
"""Layers after which it is to be known on which side of a shape the one named before it is."""


class Reader(nn.Module):
    """A demo model whose tower does not learn, and which reads pictures of one size in each batch.

    In training heads tell the place of each shape where its name ends, and on which side of the shape named before it
    is: how a relation is found, which is hardly learnt from yes and no alone. The heads are not part of the model.
    """

    def __init__(self, family: Family, model: PreTrainedModel) -> None:
        super().__init__()
        self.family = family
        self.model = model
        self.place = nn.Linear(model.config.text_config.hidden_size, 2 * SIDE)
        self.side = nn.Linear(model.config.text_config.hidden_size, SIDES * 2)
        family.freeze_tower(model)

    def forward(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Logits of the answers' tokens `[answer_tokens, vocabulary]`, and the tokens `[answer_tokens]`."""
        return self.answers(self.text_states(batch)[-1], batch)

    def text_states(self, batch: dict[str, Any]) -> list[Tensor]:
        """What conversations' tokens are before the first layer and after each, `[scenes, num_tokens, hidden_size]`."""
        visual = self.family.visual(self.model, batch)
        scenes, visual_tokens, _ = visual.embeddings.shape
        embed, first = self.model.get_input_embeddings(), len(batch["prefix"])
        prefix = embed(batch["prefix"]).expand(scenes, -1, -1)
        embeddings = torch.cat((prefix, visual.embeddings, embed(batch["tokens"])), dim=1)
        before, next_position = self.family.positions(first, visual_tokens, batch)  # [axes, first + visual_tokens]
        own = next_position + places_in(batch["turns"])  # [scenes, num_tokens]
        states = self.family.states(
            self.model,
            visual,
            first,
            inputs_embeds=embeddings,
            attention_mask=attention(batch["turns"], first + visual_tokens),
            position_ids=torch.stack(
                [torch.cat((axis.expand(scenes, -1), own), dim=-1) for axis in before.to(own.device)]
            ),
        )
        return [each[:, first + visual_tokens :] for each in states]

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


def attention(turns: Tensor, picture: int) -> Tensor:
    """Let all conversations about a picture see it and none see another, as if each had been held alone.

    Args:
        turns: `[scenes, num_tokens]`, the conversation that a token belongs to, -1 for padding.
        picture: tokens up to the picture's end.

    Returns:
        An additive mask `[scenes, 1, picture + num_tokens, picture + num_tokens]`.
    """
    scenes, num_tokens = turns.shape
    length = picture + num_tokens
    visible = torch.ones(length, length, dtype=torch.bool, device=turns.device).tril().repeat(scenes, 1, 1)
    visible[:, picture:, picture:] &= turns.unsqueeze(-1) == turns.unsqueeze(-2)  # [scenes, num_tokens, num_tokens]
    return torch.zeros(visible.shape, device=turns.device).masked_fill_(~visible, -1e9).unsqueeze(1)


def places_in(turns: Tensor) -> Tensor:
    """The place of each token in its conversation, `[scenes, num_tokens]`; `turns` as in `attention`."""
    begins = functional.pad(turns[:, 1:] != turns[:, :-1], (1, 0), value=True)  # [scenes, num_tokens]
    places = torch.arange(turns.shape[1], device=turns.device).expand(turns.shape)
    return places - torch.where(begins, places, 0).cummax(dim=-1).values


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
