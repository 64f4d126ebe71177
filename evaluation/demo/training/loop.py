"""The loop both stages share: resumable, with checkpoints and a progress bar."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from transformers import AutoModelForImageTextToText

WARM_UP = 300
"""Steps."""
COOL_DOWN = 0.3
"""Fraction of all steps."""
SAVE_SECONDS = 120

Batch = dict[str, Any]
Loss = Callable[[Batch], tuple[Tensor, dict[str, float]]]
"""The loss of a batch, and figures to show and to log."""


class Batches(Dataset[Batch]):
    """Batches by number."""

    def __init__(self, make: Callable[[int], Batch]) -> None:
        self._make = make

    def __getitem__(self, number: int) -> Batch:
        return self._make(number)


def made_ahead(make: Callable[[int], Batch], numbers: range, workers: int) -> DataLoader[Batch]:
    """The batches of these numbers, made ahead by other processes."""
    return DataLoader(Batches(make), batch_size=None, sampler=numbers, num_workers=workers, prefetch_factor=4)


def train(
    model: nn.Module,
    *,
    learning_rate: float,
    steps: int,
    batches: Callable[[range], Iterable[Batch]],
    loss: Loss,
    checkpoint: Path,
    device: str = "cpu",
) -> None:
    """Train until `steps`, from where `checkpoint` was left.

    Args:
        model: in float32, computed in bfloat16; what does not require a gradient stays as it is.
        batches: called with the steps that are left, yields a batch for each.
        loss: of a batch.
        checkpoint: written every few minutes and at the end; the log is beside it, a line each hundred steps.
        device: where the model is.
    """
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.02, fused=True)
    first = _resume(checkpoint, model, optimizer)
    saved = time.monotonic()
    progress = tqdm(batches(range(first, steps)), total=steps, initial=first, mininterval=10, desc=checkpoint.stem)
    for step, batch in enumerate(progress, first):
        optimizer.param_groups[0]["lr"] = learning_rate * schedule(step, steps)
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            value, figures = loss(_moved(batch, device))
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if step % 100 == 0:
            _log(checkpoint, step, {"loss": float(value.detach())} | figures)
        if time.monotonic() - saved > SAVE_SECONDS:
            _save(checkpoint, step + 1, model, optimizer)
            saved = time.monotonic()
    _save(checkpoint, max(first, steps), model, optimizer)


def schedule(step: int, steps: int) -> float:
    """Fraction of the learning rate at a step: a linear warm-up, a plateau, and a linear cool-down to a hundredth."""
    remaining = (steps - step) / max(1, COOL_DOWN * steps)
    return min(1.0, (step + 1) / WARM_UP, max(0.01, remaining))


def _resume(checkpoint: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load a checkpoint if there is one; the step to go on with."""
    if not checkpoint.exists():
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        return 0
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def begin_with(model: nn.Module, earlier: Path, tokenizer: Tokenizer) -> None:
    """Take over weights of an earlier training, or of a served model of any family, by name.

    What does not fit, as of other heads, starts anew. Where the tokenizers differ, each token that both have keeps its
    embedding.

    Args:
        model: what is to be trained.
        earlier: a checkpoint of the same tokens, or a model's folder.
        tokenizer: of the model.
    """
    if earlier.is_dir():
        weights, rows = _served_weights(earlier), _rows_of(tokenizer, earlier)
    else:
        weights, rows = torch.load(earlier, weights_only=True, map_location="cpu")["model"], {}
    with torch.no_grad():
        for name, own in model.state_dict().items():
            value = weights.get(name, own)
            if rows and len(own) == tokenizer.get_vocab_size():
                own[list(rows)] = value[list(rows.values())]
            elif own.shape == value.shape:
                own.copy_(value)


def _served_weights(folder: Path) -> dict[str, Tensor]:
    """A served model's weights, by the names that a reader gives them."""
    weights = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).state_dict()
    return {f"model.{name}": value for name, value in weights.items()}


def _rows_of(tokenizer: Tokenizer, folder: Path) -> dict[int, int]:
    """For each token that a served model knows too, its number there."""
    known = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    return {number: known[token] for token, number in tokenizer.get_vocab().items() if token in known}


def load_tower(tower: nn.Module, checkpoint: Path) -> None:
    """Load the tower that the first stage trained."""
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")["model"]
    weights = {name.removeprefix("tower."): value for name, value in state.items() if name.startswith("tower.")}
    tower.load_state_dict(weights)


def _moved(batch: Batch, device: str) -> Batch:
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in batch.items()}


def _save(checkpoint: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write aside, then rename: a checkpoint is complete or not there."""
    part = checkpoint.with_suffix(".part")
    torch.save({"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, part)
    part.replace(checkpoint)


def _log(checkpoint: Path, step: int, figures: dict[str, float]) -> None:
    line = f"step {step} " + " ".join(f"{name} {value:.3f}" for name, value in figures.items())
    with checkpoint.with_suffix(".log").open("a") as log:
        print(line, file=log)
