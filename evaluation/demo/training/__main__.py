"""Train the demo model.

    python -m evaluation.demo.training tower --family qwen
    python -m evaluation.demo.training reader --family qwen --tower .cache/training/qwen/tower.pt
    python -m evaluation.demo.training export --family qwen

Each stage goes on where it was stopped. Checkpoints and logs are under `--folder`.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from evaluation.demo import MODELS
from evaluation.demo.training.conversation import Conversations, Lesson
from evaluation.demo.training.decoder import Reader, reader_loss
from evaluation.demo.training.families import FAMILIES
from evaluation.demo.training.loop import Batch, Loss, begin_with, load_tower, made_ahead, train
from evaluation.demo.training.tower import SupervisedTower, tower_accuracy, tower_batch, tower_loss
from evaluation.demo.training.worlds import WORLDS, Everyday, Shapes, World
from evaluation.everyday.studio import Studio
from evaluation.scenes.scene import SMALL_GRIDS

SEED = 0
FOLDER = Path(".cache/training")


def train_tower(arguments: argparse.Namespace) -> None:
    """Stage 1."""
    world = _world(arguments)
    family = FAMILIES[arguments.family](world.texts)
    model = family.build_model()
    tower = SupervisedTower(family, family.tower_of(model), model.config.vision_config.hidden_size)
    tower.to(arguments.device)
    if arguments.begin_with:
        served = nn.ModuleDict({"model": model})  # names weights as a reader does
        begin_with(served if arguments.begin_with.is_dir() else tower, arguments.begin_with, family.tokenizer)

    def batch(number: int) -> Batch:
        seeds = range(number * arguments.scenes, (number + 1) * arguments.scenes)
        return tower_batch(family, world, seeds, SMALL_GRIDS if number < arguments.small else (None,))

    def loss(batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        logits = tower(batch)
        return tower_loss(logits, batch), tower_accuracy(logits, batch)

    _train(arguments, tower, batch, loss)


def train_reader(arguments: argparse.Namespace) -> None:
    """Stage 2."""
    world = _world(arguments)
    family = FAMILIES[arguments.family](world.texts)
    reader = Reader(family, family.build_model()).to(arguments.device)
    if arguments.begin_with:
        begin_with(reader, arguments.begin_with, family.tokenizer)
    if arguments.tower:
        load_tower(family.tower_of(reader.model), arguments.tower)
    lesson = Lesson(arguments.scenes, arguments.rounds, arguments.small, arguments.relations)
    conversations = Conversations(family, world, lesson)
    _train(arguments, reader, conversations.batch, lambda batch: reader_loss(reader, batch))


def _world(arguments: argparse.Namespace) -> World:
    if arguments.world == "shapes":
        return Shapes()
    return Everyday(Studio.load(arguments.photographs, arguments.emoji).draw)


def _name(arguments: argparse.Namespace) -> str:
    """What a model's folders are called: after its family, or after a world beside the first."""
    return str(arguments.family if arguments.world == "shapes" else arguments.world)


def _train(arguments: argparse.Namespace, model: nn.Module, batch: Callable[[int], Batch], loss: Loss) -> None:
    train(
        model,
        learning_rate=arguments.learning_rate,
        steps=arguments.steps,
        batches=lambda steps: made_ahead(batch, steps, arguments.workers),
        loss=loss,
        checkpoint=arguments.folder / _name(arguments) / f"{arguments.stage}.pt",
        device=arguments.device,
    )


def write_model(arguments: argparse.Namespace) -> None:
    """Write what was trained as a checkpoint to serve."""
    family = FAMILIES[arguments.family](WORLDS[arguments.world].texts)
    reader = Reader(family, family.build_model())
    checkpoint = arguments.folder / _name(arguments) / "reader.pt"
    reader.load_state_dict(torch.load(checkpoint, weights_only=True, map_location="cpu")["model"])
    family.save(reader.model, arguments.output or MODELS / _name(arguments))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m evaluation.demo.training", description="Train a demo model.")
    stages = parser.add_subparsers(required=True, dest="stage")
    tower = _stage(stages, "tower", train_tower, steps=5000)
    reader = _stage(stages, "reader", train_reader, steps=4500)
    reader.add_argument("--tower", type=Path, metavar="CHECKPOINT", help="the first stage's, whose tower is taken over")
    reader.add_argument("--rounds", type=int, default=2, help="rounds of questions about a scene")
    reader.add_argument("--relations", type=int, default=0, help="steps that ask about relations only first")
    for stage in (tower, reader):
        stage.add_argument("--steps", type=int, default=stage.get_default("steps"), help="steps, with those before")
        stage.add_argument("--learning-rate", type=float, default=1.5e-3)
        stage.add_argument("--small", type=int, default=1000, help="steps on small pictures first")
        stage.add_argument(
            "--begin-with", type=Path, help="a checkpoint, or a model's folder, whose weights to take over"
        )
        stage.add_argument("--scenes", type=int, default=16, help="scenes in a batch")
        stage.add_argument("--workers", type=int, default=1, help="processes that draw scenes")
        stage.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads that learn")
        stage.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    write = _stage(stages, "export", write_model)
    write.add_argument("--output", type=Path, help="folder to write into (default: the demo model's)")
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    if "threads" in arguments:
        torch.set_num_threads(arguments.threads)
    arguments.run(arguments)


def _stage(
    stages: Any, name: str, run: Callable[[argparse.Namespace], None], **defaults: int
) -> argparse.ArgumentParser:
    stage: argparse.ArgumentParser = stages.add_parser(name, help=run.__doc__)
    stage.set_defaults(run=run, **defaults)
    stage.add_argument("--family", choices=FAMILIES, default="llava")
    stage.add_argument("--world", choices=WORLDS, default="shapes", help="what to train on")
    stage.add_argument("--photographs", type=Path, metavar="FOLDER", help="backgrounds of everyday scenes")
    stage.add_argument("--emoji", type=Path, metavar="FONT", help="what draws the pictograms of everyday scenes")
    stage.add_argument("--folder", type=Path, default=FOLDER, help="where checkpoints and logs are")
    return stage


if __name__ == "__main__":
    main()
