"""FastV's rows of table 1: answers from Transformers, one question at a time."""

import base64
import io
from collections.abc import Sequence

import torch
from PIL import Image
from tqdm import tqdm

from evaluation.asking import MAX_TOKENS, key_of
from evaluation.cell import Cell
from evaluation.cost import FASTV
from evaluation.fastv import FastV
from evaluation.fingerprint import digest, model_digest
from evaluation.journal import Answer, Journal
from evaluation.measurement import Measurement
from evaluation.offline import OfflineModel
from evaluation.sample import Sample


class Baseline:
    """Answers questions with FastV.

    Args:
        checkpoint: folder or name of the model.
        journal: where answers are kept.
    """

    def __init__(self, checkpoint: str, journal: Journal) -> None:
        self._checkpoint, self._journal = checkpoint, journal
        self._fingerprint = digest(model_digest(checkpoint), "transformers")

    def measure(self, ratios: Sequence[float], samples: Sequence[Sample]) -> list[Measurement]:
        """Ask all questions at each ratio, but for those that the journal knows the answer to."""
        cells = [Cell(FASTV, ratio) for ratio in ratios]
        if any(self._key(cell, sample) not in self._journal for cell in cells for sample in samples):
            self._ask(cells, samples)
        return [
            Measurement(
                cell=cell,
                answers=[self._journal[self._key(cell, sample)] for sample in samples],
                samples_per_second=self._journal.samples_per_second(self._time_key(cell)),
                in_flight=1,
            )
            for cell in cells
        ]

    def _ask(self, cells: Sequence[Cell], samples: Sequence[Sample]) -> None:
        model = OfflineModel(self._checkpoint)
        for cell in cells:
            missing = [sample for sample in samples if self._key(cell, sample) not in self._journal]
            with self._journal.timed(self._time_key(cell)):
                for sample in tqdm(missing, desc=str(cell), unit="question"):
                    self._journal.add(answer(model, cell, sample, self._key(cell, sample)))

    def _key(self, cell: Cell, sample: Sample) -> str:
        return key_of(self._fingerprint, cell, sample)

    def _time_key(self, cell: Cell) -> str:
        return digest(self._fingerprint, cell.fields)


@torch.inference_mode()
def answer(model: OfflineModel, cell: Cell, sample: Sample, key: str) -> Answer:
    """Answer one question."""
    inputs = model.prompt(decode(sample.picture.url), sample.question)
    tokens = inputs["input_ids"][0]
    is_visual = tokens == model.config.image_token_id
    fastv = FastV(model.model, cell.ratio)
    with fastv.pruning(is_visual):
        output = model.model.generate(**inputs, max_new_tokens=MAX_TOKENS, do_sample=False)
    return Answer.to(
        sample,
        cell,
        key=key,
        text=model.processor.decode(output[0, len(tokens) :], skip_special_tokens=True),
        prompt_tokens=len(fastv.kept),
        visual_tokens=int(is_visual[fastv.kept].sum()),
    )


def decode(url: str) -> Image.Image:
    """The picture in a `data:` URL."""
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
