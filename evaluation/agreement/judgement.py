"""Judgements of answers, in a file that outlives the run."""

from dataclasses import asdict, dataclass
from pathlib import Path

from evaluation.journal import append_line, read_lines


@dataclass(frozen=True, slots=True)
class Judgement:
    """An answer under pruning, judged by the unpruned model.

    Attributes:
        key: names everything that the answer depends on.
        about: picture or line that the question is about.
        tokens: tokens of the answer that were judged; 0 if it could not be.
        agreement: share of these that the unpruned model would have put first.
        gap: how far they are below its first choice, on average, in nats.
        input: visual tokens before pruning.
        kept: visual tokens after pruning.
    """

    key: str
    method: str
    ratio: float
    about: str
    tokens: int
    agreement: float
    gap: float
    input: int
    kept: int


class Judgements:
    """Judgements in the folder of a run. Each is on disk before the next is awaited."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "judgements.jsonl"
        self._known = {line["key"]: Judgement(**line) for line in read_lines(self._file)}

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __getitem__(self, key: str) -> Judgement:
        return self._known[key]

    def add(self, judgement: Judgement) -> None:
        self._known[judgement.key] = judgement
        append_line(self._file, asdict(judgement))
