"""Train the demo model.

    python -m evaluation.demo.training tower --steps 5000
    python -m evaluation.demo.training reader --steps 4500
    python -m evaluation.demo.training export

Each stage goes on where it was stopped. Checkpoints and logs are under `--folder`.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPVisionConfig

from evaluation.demo.checkpoint import build_processor
from evaluation.demo.tokenizer import build_tokenizer
from evaluation.demo.training.conversation import Conversations, Lesson
from evaluation.demo.training.decoder import Reader, reader_loss
from evaluation.demo.training.export import OPTIONS, build_model, export, load_tower
from evaluation.demo.training.loop import Batch, begin_with, made_ahead, train
from evaluation.demo.training.tower import SupervisedTower, tower_accuracy, tower_batch, tower_loss
from evaluation.scenes.questions import all_texts

SEED = 0
FOLDER = Path(".cache/training")
MODEL = Path(__file__).parents[1] / "model"


def train_tower(arguments: argparse.Namespace) -> None:
    """Stage 1."""
    config = CLIPVisionConfig.from_dict(build_model().config.vision_config.to_dict())
    config._attn_implementation = "eager"
    tower = SupervisedTower(config).to(arguments.device)
    if arguments.begin_with:
        begin_with(tower, arguments.begin_with)
    image_processor = build_processor(OPTIONS, build_tokenizer()).image_processor

    def batch(number: int) -> Batch:
        return tower_batch(image_processor, range(number * arguments.scenes, (number + 1) * arguments.scenes))

    def loss(batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        logits = tower(batch["pixels"])
        return tower_loss(logits, batch), tower_accuracy(logits, batch)

    train(
        tower,
        learning_rate=arguments.learning_rate,
        steps=arguments.steps,
        batches=lambda steps: made_ahead(batch, steps, arguments.workers),
        loss=loss,
        checkpoint=arguments.folder / "tower.pt",
        device=arguments.device,
    )


def train_reader(arguments: argparse.Namespace) -> None:
    """Stage 2."""
    reader = Reader(build_model()).to(arguments.device)
    if arguments.begin_with:
        begin_with(reader, arguments.begin_with)
    load_tower(reader.model, arguments.folder / "tower.pt")
    tokenizer = build_tokenizer(all_texts())
    image_processor = build_processor(OPTIONS, tokenizer).image_processor
    lesson = Lesson(arguments.scenes, arguments.rounds, arguments.small, arguments.relations)
    conversations = Conversations(tokenizer, image_processor, lesson)
    train(
        reader,
        learning_rate=arguments.learning_rate,
        steps=arguments.steps,
        batches=lambda steps: made_ahead(conversations.batch, steps, arguments.workers),
        loss=lambda batch: reader_loss(reader, batch),
        checkpoint=arguments.folder / "reader.pt",
        device=arguments.device,
    )


def write_model(arguments: argparse.Namespace) -> None:
    """Write what was trained as a checkpoint to serve."""
    reader = Reader(build_model())
    reader.load_state_dict(torch.load(arguments.folder / "reader.pt", weights_only=True, map_location="cpu")["model"])
    export(reader.model, arguments.output)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m evaluation.demo.training", description="Train the demo model.")
    stages = parser.add_subparsers(required=True)
    tower = _stage(stages, "tower", train_tower, steps=5000, learning_rate=1.5e-3)
    reader = _stage(stages, "reader", train_reader, steps=4500, learning_rate=1.5e-3)
    reader.add_argument("--rounds", type=int, default=2, help="rounds of questions about a scene")
    reader.add_argument("--small", type=int, default=1000, help="steps on small pictures first")
    reader.add_argument("--relations", type=int, default=0, help="steps that ask about relations only first")
    for stage in (tower, reader):
        stage.add_argument("--begin-with", type=Path, metavar="CHECKPOINT", help="weights of an earlier training")
        stage.add_argument("--scenes", type=int, default=16, help="scenes in a batch")
        stage.add_argument("--workers", type=int, default=1, help="processes that draw scenes")
        stage.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads that learn")
        stage.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    write = stages.add_parser("export", help="write the trained model as a checkpoint to serve")
    write.set_defaults(run=write_model)
    write.add_argument("--folder", type=Path, default=FOLDER, help="where the stages' checkpoints are")
    write.add_argument("--output", type=Path, default=MODEL, help="folder to write into")
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    if "threads" in arguments:
        torch.set_num_threads(arguments.threads)
    arguments.run(arguments)


def _stage(stages: Any, name: str, run: Any, steps: int, learning_rate: float) -> argparse.ArgumentParser:
    stage: argparse.ArgumentParser = stages.add_parser(name, help=run.__doc__)
    stage.set_defaults(run=run)
    stage.add_argument("--folder", type=Path, default=FOLDER, help="where checkpoints and logs go")
    stage.add_argument("--steps", type=int, default=steps, help="steps in all, those before a restart counted")
    stage.add_argument("--learning-rate", type=float, default=learning_rate)
    return stage


if __name__ == "__main__":
    main()
