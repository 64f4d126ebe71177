"""Measure pruning on one NVIDIA GPU, and write a dated result.

Level 1 needs torch, transformers and matplotlib only, of any recent version: selection methods, and LLaVA-NeXT's
tower, projector and language model at full size with random weights. Level 2 needs vLLM 0.32: engines at full size,
with pruning and without, one picture at a time and many at once. Both check that pruning never makes the host wait for
the GPU. Where there is no GPU the result says so. On a machine without a network, `loadtest.gpu_check.assemble` puts
vLLM together.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from evaluation.arguments import positive
from evaluation.failure import EvaluationError
from evaluation.files import write_json
from loadtest.benchmarks.report import command_line, provenance

NOT_RUN, DONE = "not run: no CUDA device", "run"
SHAPES = ("8b", "7b", "tiny")


def main(words: Sequence[str] | None = None) -> int:
    """Run the check; return the exit status."""
    words = sys.argv[1:] if words is None else words
    arguments = parser().parse_args(words)
    command = command_line("loadtest.gpu_check", words)
    status = NOT_RUN
    if arguments.device == "cpu" or has_cuda():
        status = check(arguments, command)
    print(status)
    write_json(arguments.output / "gpu_check.json", {**label(arguments), **provenance(command), "status": status})
    return 0 if status in (NOT_RUN, DONE) else 1


def check(arguments: Namespace, command: str) -> str:
    """Run a level; tell how it went."""
    try:
        import_module(f"loadtest.gpu_check.level_{arguments.level}").run(arguments, command)
    except EvaluationError as error:
        return f"failed: {error}"
    return DONE


def parser() -> ArgumentParser:
    """The command line."""
    whole = ArgumentParser(prog="python -m loadtest.gpu_check", description=__doc__)
    whole.add_argument("--output", type=Path, required=True, help="folder for the results")
    whole.add_argument("--level", type=int, choices=(1, 2), default=1, help="default: %(default)s")
    whole.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: try the code, at a tiny shape")
    whole.add_argument("--shape", choices=SHAPES, default="8b", help="of the model (default: %(default)s)")
    whole.add_argument("--rounds", type=positive, default=15, help="of each measurement (default: %(default)s)")
    whole.add_argument("--layers", type=positive, help="of the language model (default: all)")
    whole.add_argument(
        "--concurrency", type=positive, nargs="+", default=(1, 4, 16, 32), help="level 2: pictures asked about at once"
    )
    whole.add_argument(
        "--attention-backend", help="level 2: of vLLM, e.g. TRITON_ATTN where it has no library of FlashAttention"
    )
    return whole


def label(arguments: Namespace) -> dict[str, str]:
    """What tells this result from others."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "level": str(arguments.level),
        "device": arguments.device,
        "shape": arguments.shape,
    }


def has_cuda() -> bool:
    """Whether there is a GPU."""
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    sys.exit(main())
