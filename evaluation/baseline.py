"""FastV's rows of table 1: answers from Transformers, one question at a time."""

from collections.abc import Mapping, Sequence

import torch
from tqdm import tqdm

from evaluation.cell import Cell
from evaluation.fastv import FastV
from evaluation.fingerprint import digest, model_digest
from evaluation.journal import Answer, Journal, key_of, time_key
from evaluation.offline import OfflineModel
from evaluation.sample import MAX_TOKENS, Sample


class Baseline:
    """Answers questions with FastV.

    Args:
        checkpoint: folder or name of the model.
    """

    def __init__(self, checkpoint: str) -> None:
        self._checkpoint = checkpoint
        self.fingerprint = digest(model_digest(checkpoint), "transformers")

    def answer(self, questions: Mapping[Cell, Sequence[Sample]], journal: Journal, in_flight: int = 1) -> None:
        """Answer the questions of each cell, whose methods are not looked at, into the journal."""
        model = OfflineModel(self._checkpoint)
        for cell, samples in questions.items():
            with journal.timed(time_key(self.fingerprint, cell, in_flight)):
                for sample in tqdm(samples, desc=str(cell), unit="question"):
                    journal.add(answer(model, cell, sample, key_of(self.fingerprint, cell, sample)))


@torch.inference_mode()
def answer(model: OfflineModel, cell: Cell, sample: Sample, key: str) -> Answer:
    inputs = model.prompt(sample.picture.image, sample.question)
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
