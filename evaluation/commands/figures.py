"""Figures 3 to 6 of the paper, drawn with what is measured here.

Figures 3 and 4 are drawn from table1.json and sweep.json in the output folder, where these are; figures 5 and 6 show
what the model does to generated scenes and photos.
"""

from argparse import ArgumentParser, Namespace

from evaluation.arguments import add_model, add_world, model_of
from evaluation.cell import METHODS, RATIOS
from evaluation.files import read_json


def add_arguments(parser: ArgumentParser) -> None:
    add_model(parser)
    add_world(parser)


def run(arguments: Namespace) -> None:
    draw_results(arguments)
    draw_pictures(arguments)


def draw_results(arguments: Namespace) -> None:
    """Figures 3 and 4. Without a sweep, figure 4 has the ratios of table 1."""
    from evaluation.figures.curves import draw_cost, draw_ratios

    table, sweep = (arguments.output / name for name in ("table1.json", "sweep.json"))
    if table.exists():
        draw_cost(read_json(table), arguments.output / "figure3.png")
    else:
        print(f"no {table}, so no figure 3; `python -m evaluation table1` writes it")
    if sweep.exists() or table.exists():
        draw_ratios(read_json(sweep if sweep.exists() else table), arguments.output / "figure4.png")


def draw_pictures(arguments: Namespace) -> None:
    """Figures 5 and 6."""
    from evaluation.figures.heat_maps import draw_heat_maps
    from evaluation.figures.kept_tokens import draw_kept_tokens
    from evaluation.gallery import gallery
    from evaluation.offline import OfflineModel

    model, pictures = OfflineModel(model_of(arguments)), gallery(arguments.world)
    draw_heat_maps(model, pictures, arguments.output / "figure5.png")
    for ratio in RATIOS:
        file = arguments.output / f"figure6-{100 * ratio:.0f}.png"
        draw_kept_tokens(model, pictures, METHODS, ratio, file)
