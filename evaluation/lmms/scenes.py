"""A task of lmms-eval made from the demo model's scenes, which needs no download.

lmms-eval loads a copy of this file beside the task's description, for the functions that the description names.
"""

import base64
import io
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

NAME = "gprune_scenes"
DESCRIPTION = """\
task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: generate_until
doc_to_visual: !function functions.doc_to_visual
doc_to_text: !function functions.doc_to_text
doc_to_target: answer
process_results: !function functions.process_results
generation_kwargs:
  max_new_tokens: {max_tokens}
  temperature: 0
  do_sample: false
metric_list:
  - metric: exact
    aggregation: mean
    higher_is_better: true
metadata:
  - version: 1.0
"""


def write_task(folder: Path, samples: Iterable[Any]) -> None:
    """Write the task that asks these samples into a folder for lmms-eval's `--include_path`."""
    from evaluation.sample import MAX_TOKENS  # the copy has no use for it

    folder.mkdir(parents=True, exist_ok=True)
    data = (folder / "scenes.jsonl").resolve()
    lines = [{"picture": one.picture.url, "question": one.question, "answer": one.answer} for one in samples]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / f"{NAME}.yaml").write_text(DESCRIPTION.format(name=NAME, data=data, max_tokens=MAX_TOKENS))
    shutil.copyfile(__file__, folder / "functions.py")


def doc_to_visual(doc: dict[str, Any]) -> list[Image.Image]:
    """The picture of a question."""
    return [Image.open(io.BytesIO(base64.b64decode(doc["picture"].partition(",")[2]))).convert("RGB")]


def doc_to_text(doc: dict[str, Any]) -> str:
    return str(doc["question"])


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Whether an answer is right, scored as `evaluation.score` does."""
    return {"exact": float(results[0].strip().casefold() == doc["answer"].strip().casefold())}
