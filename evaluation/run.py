"""The questions of one command and the answers to them."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.arguments import QUICK_SCENES, service_of
from evaluation.cell import DOWNSAMPLE, Cell
from evaluation.cost import FASTV, CostModel
from evaluation.downsampling import downsampled, token_count
from evaluation.files import write_json, write_text
from evaluation.journal import Journal
from evaluation.measurement import Measurement, measure
from evaluation.provenance import provenance
from evaluation.result import rows
from evaluation.sample import Sample, load_samples


class Run:
    """Asks what the command line says, in the folder that it says."""

    def __init__(self, arguments: Namespace) -> None:
        self._arguments = arguments
        scenes = QUICK_SCENES if arguments.quick else arguments.scenes
        self.samples: list[Sample] = load_samples(scenes, arguments.seed, arguments.world)
        self._journal = Journal(arguments.output)

    def measure(self, cells: Sequence[Cell], settings: Mapping[str, str] | None = None) -> list[Measurement]:
        """Ask all questions under each cell, of a server with the given settings."""
        service = service_of(self._arguments, settings)
        questions = {cell: self._samples_of(cell, service.checkpoint) for cell in cells}
        return measure(service, questions, self._journal, self._arguments.concurrency)

    def _samples_of(self, cell: Cell, checkpoint: str) -> Sequence[Sample]:
        if cell.method != DOWNSAMPLE:
            return self.samples
        return downsampled(self.samples, cell.ratio, token_count(checkpoint))

    def measure_fastv(self, ratios: Sequence[float]) -> list[Measurement]:
        """Ask all questions of FastV, offline."""
        from evaluation.baseline import Baseline

        baseline = Baseline(service_of(self._arguments).checkpoint)
        questions = {Cell(FASTV, ratio): self.samples for ratio in ratios}
        return measure(baseline, questions, self._journal, in_flight=1)

    def write(
        self, name: str, measurements: Sequence[Measurement], labels: Sequence[Mapping[str, str]] | None = None
    ) -> None:
        """Write the measurements to `NAME.json`, with what tells each from the others."""
        costs = CostModel.of(service_of(self._arguments).checkpoint)
        report: list[dict[str, Any]] = []
        for measurement, label in zip(measurements, labels or [{}] * len(measurements), strict=True):
            flops = costs.mean_flops(measurement) if costs else None
            report += rows(measurement, flops, **label)
        write_json(self._arguments.output / f"{name}.json", report)

    def publish(self, name: str, table: str) -> None:
        """Write a table to `NAME.md` and print it, with what it was measured with."""
        text = f"{table.rstrip()}\n\n{provenance(self._arguments.words, service_of(self._arguments).dtype)}\n"
        write_text(self._arguments.output / f"{name}.md", text)
        print(text)
