"""How much of the unpruned model's answers pruning keeps on your own pictures. It needs no labels.

Asks a running server about each picture under each method and ratio, and has its unpruned model judge the answers.
Writes agreement.json, agreement.md and agreement.png, and recommends a ratio.
"""

import asyncio
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.arguments import add_output, positive
from evaluation.cell import Cell, cells_of
from evaluation.failure import EvaluationError
from evaluation.files import write_json, write_text
from evaluation.fingerprint import digest

if TYPE_CHECKING:
    from evaluation.agreement.judge import Asked
    from evaluation.agreement.judgement import Judgements
    from evaluation.agreement.question import Question

RATIOS = (0.3, 0.5, 0.7, 0.9)
LEAST = 0.95
"""Agreement that the recommended ratio surely has."""
MAX_TOKENS = 64


def add_arguments(parser: ArgumentParser) -> None:
    add_output(parser)
    parser.add_argument("--url", required=True, help="of the server; the key is that in VLLM_API_KEY")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--pictures", type=Path, help="folder of pictures")
    source.add_argument("--log", type=Path, help="file with the body of a chat request on each line")
    parser.add_argument("--questions", type=Path, help="file with a question about each picture on each line")
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help="default: those that the server enables")
    parser.add_argument("--ratios", nargs="+", type=float, default=RATIOS, help="default: %(default)s")
    parser.add_argument("--least", type=float, default=LEAST, help="agreement to keep (default: %(default)s)")
    parser.add_argument("--max-tokens", type=positive, default=MAX_TOKENS, help="of an answer (default: %(default)s)")
    parser.add_argument("--concurrency", type=positive, default=8, help="questions in flight (default: %(default)s)")


def run(arguments: Namespace) -> None:
    from evaluation.agreement.judgement import Judgements
    from evaluation.agreement.report import Row, draw, recommendation, table_of
    from evaluation.service import running_service

    questions = _questions(arguments)
    service, choices = running_service(arguments.url), _choices(arguments.url)
    cells = cells_of(arguments.methods or choices["methods"], _allowed(arguments.ratios, choices["max_prune_ratio"]))
    judgements = Judgements(arguments.output)
    keys = {
        (cell, number): digest(service.fingerprint, cell.fields, question.digest, arguments.max_tokens)
        for cell in cells
        for number, question in enumerate(questions)
    }
    asyncio.run(_judge(arguments, service.model, _asked(questions, keys, judgements), judgements))
    found = [Row.of(cell, [judgements[keys[cell, number]] for number in range(len(questions))]) for cell in cells]
    rows = [row for row in found if row is not None]
    pictures = len({question.about for question in questions})
    text = f"{recommendation(rows, pictures, arguments.least)}\n\n{table_of(rows)}"
    write_json(arguments.output / "agreement.json", [row.fields for row in rows])
    write_text(arguments.output / "agreement.md", text)
    draw(rows, arguments.output / "agreement.png")
    print(text)


def _questions(arguments: Namespace) -> "list[Question]":
    from evaluation.agreement.question import of_log, of_pictures

    try:
        if arguments.log is not None:
            if arguments.questions is not None:
                raise EvaluationError("--questions does not go with --log, whose chats have questions. Leave it out")
            return of_log(arguments.log)
        return of_pictures(arguments.pictures, arguments.questions)
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(str(error)) from error


def _choices(url: str) -> dict[str, Any]:
    """Ask the server for the methods and the largest ratio that requests may use."""
    from openai import OpenAI, OpenAIError

    from evaluation.client import client_options

    try:
        with OpenAI(**client_options(url)) as client:
            choices: dict[str, Any] = client.get("/visual_tokens", cast_to=dict)
    except OpenAIError as error:
        raise EvaluationError(f"the server does not say how it prunes; is it gprune-serve? {error}") from error
    return choices


def _allowed(ratios: list[float], largest: float | None) -> list[float]:
    """Leave out ratios that the server refuses.

    Raises:
        EvaluationError: it refuses all of them.
    """
    allowed = [ratio for ratio in ratios if largest is None or ratio <= largest]
    if not allowed:
        raise EvaluationError(f"the server refuses ratios above {largest} (--max-prune-ratio). Name smaller --ratios")
    return allowed


def _asked(questions: "list[Question]", keys: dict[tuple[Cell, int], str], judgements: "Judgements") -> "list[Asked]":
    """List what has not been judged yet."""
    from evaluation.agreement.judge import Asked

    return [Asked(key, cell, questions[number]) for (cell, number), key in keys.items() if key not in judgements]


async def _judge(arguments: Namespace, model: str, asked: "list[Asked]", judgements: "Judgements") -> None:
    from openai import AsyncOpenAI
    from tqdm import tqdm

    from evaluation.agreement.judge import Judge
    from evaluation.agreement.judgement import Judgement
    from evaluation.client import client_options

    with tqdm(total=len(asked), unit="answer", smoothing=0.05, mininterval=1) as bar:

        def keep(judgement: Judgement) -> None:
            judgements.add(judgement)
            bar.update()

        async with AsyncOpenAI(**client_options(arguments.url)) as client:
            await Judge(client, model, arguments.max_tokens).judge_all(asked, keep, arguments.concurrency)
