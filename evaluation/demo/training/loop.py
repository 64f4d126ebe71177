"""The loop both stages share: resumable, with checkpoints and a progress bar."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from evaluation.demo.training.optimizer import MasterAdamW, schedule

SAVE_SECONDS = 120

Batch = dict[str, Any]


def train(
    model: nn.Module,
    *,
    learning_rate: float,
    steps: int,
    batches: Callable[[int, int], Iterable[Batch]],
    loss: Callable[[Batch], tuple[Tensor, dict[str, float]]],
    checkpoint: Path,
    device: str = "cpu",
) -> None:
    """Train until `steps`, from where `checkpoint` was left.

    Args:
        model: in bfloat16; what does not require a gradient stays as it is.
        batches: called with the first and the last step, yields a batch for each.
        loss: of a batch, with figures to show and to log.
        checkpoint: written every few minutes and at the end; the log is beside it, a line each hundred steps.
        device: where the model is.
    """
    optimizer = MasterAdamW(model.parameters(), learning_rate)
    first = _resume(checkpoint, model, optimizer)
    saved = time.monotonic()
    progress = tqdm(batches(first, steps), total=steps, initial=first, mininterval=10, desc=checkpoint.stem)
    for step, batch in enumerate(progress, first):
        value, figures = loss(_moved(batch, device))
        optimizer.step(value, schedule(step, steps))
        if step % 100 == 0:
            _log(checkpoint, step, {"loss": float(value.detach())} | figures)
        if time.monotonic() - saved > SAVE_SECONDS:
            _save(checkpoint, step + 1, model, optimizer)
            saved = time.monotonic()
    _save(checkpoint, max(first, steps), model, optimizer)


def _resume(checkpoint: Path, model: nn.Module, optimizer: MasterAdamW) -> int:
    """Load a checkpoint if there is one; the step to go on with."""
    if not checkpoint.exists():
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        return 0
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def begin_with(model: nn.Module, checkpoint: Path) -> None:
    """Take over the weights of an earlier training; where shapes differ, as of other heads, they start anew."""
    own = model.state_dict()
    earlier = torch.load(checkpoint, weights_only=True, map_location="cpu")["model"]
    fitting = {name: value for name, value in earlier.items() if name in own and own[name].shape == value.shape}
    model.load_state_dict(fitting, strict=False)


def _moved(batch: Batch, device: str) -> Batch:
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in batch.items()}


def _save(checkpoint: Path, step: int, model: nn.Module, optimizer: MasterAdamW) -> None:
    """Write aside, then rename: a checkpoint is complete or not there."""
    part = checkpoint.with_suffix(".part")
    torch.save({"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, part)
    part.replace(checkpoint)


def _log(checkpoint: Path, step: int, figures: dict[str, float]) -> None:
    line = f"step {step} " + " ".join(f"{name} {value:.3f}" for name, value in figures.items())
    with checkpoint.with_suffix(".log").open("a") as log:
        print(line, file=log)
