"""The files of the task that is made from scenes."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from evaluation.asking import MAX_TOKENS
from evaluation.lmms import scenes
from evaluation.sample import Sample


def write_task(folder: Path, samples: Sequence[Sample]) -> None:
    """Write the task into a folder for lmms-eval's `--include_path`."""
    folder.mkdir(parents=True, exist_ok=True)
    data = (folder / "scenes.jsonl").resolve()
    with data.open("w") as file:
        for sample in samples:
            line = {"picture": sample.picture.url, "question": sample.question, "answer": sample.answer}
            file.write(json.dumps({**line, "task": sample.task, "scene": sample.scene}) + "\n")
    description = scenes.DESCRIPTION.format(name=scenes.NAME, data=data, max_tokens=MAX_TOKENS)
    (folder / f"{scenes.NAME}.yaml").write_text(description)
    shutil.copyfile(scenes.__file__, folder / "functions.py")
