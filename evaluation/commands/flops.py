"""What a picture costs LLaVA-NeXT-8B at each ratio, as the paper counts and as it is.

Writes flops.json, flops.md and flops.png.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from evaluation.arguments import add_output
from evaluation.files import write_json, write_text
from evaluation.flops import LLAVA_NEXT_8B
from evaluation.markdown import table

VISUAL, OTHER, CROPS = 2220, 110, 5
"""Tokens and crops of a prompt that reproduce the paper's figures on POPE."""
PUBLISHED = {0.0: 18.3e12, 0.7: 6.69e12, 0.9: 3.37e12}
"""The paper's figures, from its comparison on POPE."""


def add_arguments(parser: ArgumentParser) -> None:
    add_output(parser)


def run(arguments: Namespace) -> None:
    costs = [cost(step / 10) for step in range(10)]
    write_json(arguments.output / "flops.json", costs)
    text = markdown(costs)
    write_text(arguments.output / "flops.md", text)
    draw(costs, arguments.output / "flops.png")
    print(text)


def cost(ratio: float) -> dict[str, Any]:
    """Both figures for a prompt at a pruning ratio."""
    visual = round((1 - ratio) * VISUAL)
    return {
        "ratio": ratio,
        "visual_tokens": visual,
        "paper_macs": LLAVA_NEXT_8B.paper_macs(visual, OTHER, CROPS),
        "true_flops": LLAVA_NEXT_8B.true_flops(visual, OTHER, CROPS),
    }


def markdown(costs: list[dict[str, Any]]) -> str:
    header = ["pruned", "visual tokens", "MACs as in the paper", "the paper's figure", "true FLOPs", "saved"]
    full = costs[0]["true_flops"]
    rows = [
        [
            f"{cost['ratio']:.0%}",
            cost["visual_tokens"],
            tera(cost["paper_macs"]),
            tera(PUBLISHED[cost["ratio"]]) if cost["ratio"] in PUBLISHED else "",
            tera(cost["true_flops"]),
            f"{1 - cost['true_flops'] / full:.0%}",
        ]
        for cost in costs
    ]
    return f"LLaVA-NeXT-8B, {VISUAL} visual and {OTHER} other tokens, {CROPS} crops.\n\n" + table(header, rows, 0)


def tera(value: float) -> str:
    return f"{value / 1e12:.2f} T"


def draw(costs: list[dict[str, Any]], file: Path) -> None:
    """Both curves, and the paper's points on its own."""
    from evaluation.figures.canvas import save, subplots

    figure, (axes,) = subplots(1)
    ratios = [100 * cost["ratio"] for cost in costs]
    axes.plot(ratios, [cost["true_flops"] / 1e12 for cost in costs], marker="o", label="true FLOPs")
    axes.plot(ratios, [cost["paper_macs"] / 1e12 for cost in costs], marker="o", label="MACs, counted as in the paper")
    axes.scatter(
        [100 * ratio for ratio in PUBLISHED],
        [value / 1e12 for value in PUBLISHED.values()],
        s=120,
        facecolors="none",
        edgecolors="black",
        zorder=3,
        label="the paper's figures",
    )
    axes.set(xlabel="visual tokens pruned (%)", ylabel="operations (10¹²)", ylim=(0, None))
    axes.set_title("LLaVA-NeXT-8B up to its first answered token")
    axes.legend()
    save(figure, file)
