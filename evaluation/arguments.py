"""Arguments that commands share."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.cell import RATIOS
from evaluation.demo import DEMO_MODEL, DEMO_MODELS

if TYPE_CHECKING:
    from evaluation.service import Service

SCENES = 200
"""Scenes that a table is measured on, with about seven questions each."""
QUICK_SCENES = 10


def add_output(parser: ArgumentParser) -> None:
    """Where results go."""
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for the results; run again, the command goes on where it was"
    )


def add_model(parser: ArgumentParser) -> None:
    """What is measured, and where results go."""
    add_output(parser)
    parser.add_argument(
        "--model", default=str(DEMO_MODEL), help="folder or name of the checkpoint to serve (default: the demo model)"
    )


def add_world(parser: ArgumentParser) -> None:
    """Which demo model where no other is named, and which pictures."""
    parser.add_argument(
        "--world",
        choices=DEMO_MODELS,
        default="shapes",
        help="whose scenes and demo model (default: %(default)s)",
    )
    parser.set_defaults(model=None)


def model_of(arguments: Namespace) -> str:
    """The checkpoint that is named, or the demo model of the world."""
    return str(arguments.model or DEMO_MODELS[arguments.world])


def add_questions(parser: ArgumentParser) -> None:
    """What is measured, how much is asked, and where results go."""
    add_model(parser)
    parser.add_argument("--scenes", type=positive, default=SCENES, help="scenes to ask about (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help=f"ask about {QUICK_SCENES} scenes only")
    add_world(parser)
    parser.add_argument("--seed", type=int, default=0, help="the first scene (default: %(default)s)")
    parser.add_argument("--concurrency", type=positive, default=8, help="questions in flight (default: %(default)s)")
    parser.add_argument(
        "--server-arguments", default="", help="further arguments of the server, e.g. '--max-model-len 8192'"
    )


def add_cells(parser: ArgumentParser, methods: Sequence[str], ratios: Sequence[float] = RATIOS) -> None:
    """Whom to ask how much of what, and how to prune."""
    add_questions(parser)
    parser.add_argument("--url", help="ask this server instead of starting one; it needs --prune-methods all")
    parser.add_argument("--methods", nargs="+", default=methods, metavar="METHOD", help=f"default: {' '.join(methods)}")
    add_ratios(parser, ratios)


def add_ratios(parser: ArgumentParser, ratios: Sequence[float] = RATIOS) -> None:
    """How much is pruned."""
    default = " ".join(map(str, ratios))
    parser.add_argument("--ratios", nargs="+", type=float, default=ratios, metavar="RATIO", help=f"default: {default}")


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ArgumentTypeError(f"{value} is not positive")
    return value


def service_of(arguments: Namespace, settings: Mapping[str, str] | None = None) -> "Service":
    """The server that the arguments name, or one of its own with the given settings."""
    from evaluation.service import own_service, running_service  # arguments are also read where no server can be asked

    if getattr(arguments, "url", None):
        return running_service(arguments.url)
    return own_service(model_of(arguments), arguments.output / "server.log", settings, arguments.server_arguments)
