"""RESULTS.md and the README tell what was measured, and nothing else."""

import json
import re
from pathlib import Path
from typing import Any

from loadtest.reporting import percents

LOADTEST = Path(__file__).parents[3] / "loadtest"
RESULTS, MEASURED = LOADTEST / "RESULTS.md", LOADTEST / "measured"
README = LOADTEST.parent / "README.md"


def measured(folder: str) -> Any:
    """The JSON file of a folder."""
    (file,) = (MEASURED / folder).glob("*.json")
    return json.loads(file.read_text())


def overhead(result: Any) -> set[str]:
    longer = [{name: value - 1 for name, value in each["ratio"].items()} for each in result["requests"].values()]
    return set(map(percents, longer))


def overload(result: Any) -> set[str]:
    late = {name: course["ttft_s"]["p90"] for name, course in result["courses"].items()}
    objective, back = result["load"]["objective"], result["courses"]["adaptive"]["recovery_s"]
    ttft = f"p90 of {late['adaptive']:.1f} s against {late['fixed']:.1f} s at ratio 0"
    return {f"{ttft}; objective {objective:.1f} s; back at 0 after {back:.0f} s"}


def prefill(result: Any) -> set[str]:
    (pruned,) = [each["efficiency"] for each in result["ratios"] if each["ratio"] == 0.7]
    return {percents(pruned), percents(result["overhead"])}


def selectors(result: Any) -> set[str]:
    speedups = {case_name(case): case["methods"]["gprune"]["speedup"] for case in result["cases"]}
    same = {case_name(case): case["agreement"] for case in result["cases"] if case["dtype"] == "float32"}
    return {span(speedups, 4, ".3g"), span(same, 1, ".3g"), "no GPU was at hand"}


def case_name(case: Any) -> str:
    return f"{case['tokens']} x {case['width']}, {case['dtype']}"


def serving(result: Any) -> set[str]:
    wanted = {"not slower than stock": 1.0, "at least 2.09 times stock's throughput": 2.09}
    return {
        span(
            {
                f"{row['variant']}, {row['arrival'].replace('-', ' ', 1)}": row["gain"]
                for row in result["aims"]
                if row["aim"] == aim
            },
            limit,
            ".2f",
        )
        for aim, limit in wanted.items()
    }


def span(values: dict[str, float], wanted: float, form: str) -> str:
    """How many of some values reach what is wanted, the least of them with its name, and the largest."""
    least = min(values, key=lambda name: values[name])
    met = sum(value >= wanted for value in values.values())
    return f"met in {met} of {len(values)} cases: {values[least]:{form}} ({least}) to {max(values.values()):{form}}"


FIGURES = {
    "overhead": overhead,
    "overload": overload,
    "prefill-7b": prefill,
    "prefill-8b": prefill,
    "selectors": selectors,
    "serving-high": serving,
    "serving-low": serving,
}


def test_the_figures_of_results_are_those_that_were_measured() -> None:
    told: dict[str, set[str]] = {folder: set() for folder in FIGURES}
    for folder, figures in re.findall(r"^\| \[([\w-]+)\]\(measured/.* \| (.*) \|$", RESULTS.read_text(), re.MULTILINE):
        told[folder].add(figures)
    assert told == {folder: figures(measured(folder)) for folder, figures in FIGURES.items()}


def test_the_readme_tells_the_gains_that_were_measured() -> None:
    gains = {
        row["variant"]: f"{row['throughput_gain']['median']:.1f}"
        for row in measured("serving-low")["rows"]
        if row["result"]["arrival"] == "concurrency-8"
    }
    told = (
        f"pruning 50, 70 and 90 % gives {gains['0.5']}, {gains['0.7']} and {gains['0.9']} times stock vLLM's "
        f"requests/s in the same rounds, and pruning nothing {gains['0']} times"
    )
    assert told in " ".join(README.read_text().split())


def test_every_result_is_linked_and_every_link_leads_somewhere() -> None:
    linked = set(re.findall(r"\]\(measured/([\w.-]+)", RESULTS.read_text()))
    assert linked == {folder.name for folder in MEASURED.iterdir()} == set(FIGURES)
