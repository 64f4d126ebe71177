"""Draw the held-out everyday scenes, and write the questions about them.

python -m evaluation.everyday --photographs FOLDER --emoji NotoColorEmoji.ttf
"""

import argparse
import json
from pathlib import Path

from evaluation.everyday.questions import make_everyday_questions
from evaluation.everyday.samples import FOLDER, SAMPLES, picture_of
from evaluation.everyday.scene import make_everyday
from evaluation.everyday.studio import Studio

SCENES = 200
QUALITY = 90
"""Of JPEG."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m evaluation.everyday", description=__doc__)
    parser.add_argument("--photographs", type=Path, required=True, help="folder of backgrounds, none seen in training")
    parser.add_argument("--emoji", type=Path, required=True, help="file of the font Noto Color Emoji")
    arguments = parser.parse_args()
    studio = Studio.load(arguments.photographs, arguments.emoji)
    FOLDER.mkdir(exist_ok=True)
    lines = []
    for seed in range(SCENES):
        scene = make_everyday(seed)
        studio.draw(scene).save(picture_of(seed), quality=QUALITY)
        lines += [
            {"scene": seed, "task": one.task, "question": one.text, "answer": one.answer}
            for one in make_everyday_questions(scene)
        ]
    SAMPLES.write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
