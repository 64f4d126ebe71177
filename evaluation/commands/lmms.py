"""The paper's eight benchmarks, run by lmms-eval on a served model, beside the paper's figures.

Writes lmms.json and lmms.md. The benchmarks are fetched from the Hugging Face hub, and MMBench is scored with the help
of the OpenAI API, as lmms-eval does it. The task gprune_scenes is made here, from the demo model's scenes.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from evaluation.arguments import QUICK_SCENES, add_cells, service_of
from evaluation.cell import Cell, cells_of
from evaluation.files import write_json, write_text
from evaluation.fingerprint import digest
from evaluation.lmms.report import Scores, markdown, rows
from evaluation.lmms.run import LmmsRun, interpreter
from evaluation.lmms.scenes import NAME as SCENES_TASK
from evaluation.lmms.scenes import write_task
from evaluation.published import BENCHMARKS
from evaluation.sample import load_samples


def add_arguments(parser: ArgumentParser) -> None:
    add_cells(parser, ("gprune",))
    tasks = "the paper's eight"
    parser.add_argument("--tasks", nargs="+", default=list(BENCHMARKS), metavar="TASK", help=f"default: {tasks}")
    parser.add_argument("--limit", type=int, help="ask the first questions of each task only")
    parser.add_argument("--python", help="interpreter that has lmms-eval (default: this one, if it has)")


def run(arguments: Namespace) -> None:
    scores = measure(arguments, cells_of(arguments.methods, arguments.ratios))
    write_json(arguments.output / "lmms.json", rows(scores))
    text = markdown(scores, arguments.tasks)
    write_text(arguments.output / "lmms.md", text)
    print(text)


def measure(arguments: Namespace, cells: Sequence[Cell]) -> Scores:
    """Run every task under each cell, but for those that have a report of the same server and options."""
    service, options = service_of(arguments), task_options(arguments)
    folder = arguments.output / "lmms" / digest(service.fingerprint, options)
    runs = [
        LmmsRun(cell, task, folder / f"{cell.method}-{cell.ratio:g}" / task, options, arguments.concurrency)
        for cell in cells
        for task in arguments.tasks
    ]
    missing = [one for one in runs if one.report is None]
    if missing:
        python = interpreter(arguments.python)
        with service.running() as url:
            for one in missing:
                one.run(python, url, service.model)
    return {cell: {one.task: one.report or {} for one in runs if one.cell == cell} for cell in cells}


def task_options(arguments: Namespace) -> list[str]:
    """Further arguments of lmms-eval. The task of scenes is written where it is asked for."""
    options = ["--limit", str(arguments.limit)] if arguments.limit else []
    if SCENES_TASK in arguments.tasks:
        scenes = QUICK_SCENES if arguments.quick else arguments.scenes
        folder = arguments.output / f"{SCENES_TASK}-{arguments.world}-{arguments.seed}-{scenes}"
        write_task(folder, load_samples(scenes, arguments.seed, arguments.world))
        options += ["--include_path", str(folder)]
    return options
