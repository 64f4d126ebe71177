"""What the model is trained on is what it is served: the same tokens, at the same places, seen alike."""

import random
import re
from typing import Any

import pytest
import torch
from transformers import AutoProcessor

from evaluation.demo.tokenizer import END, SPECIAL_TOKENS
from evaluation.demo.training.conversation import ASSISTANT, Conversations, Lesson
from evaluation.demo.training.decoder import Reader, found_loss
from evaluation.demo.training.families import FAMILIES
from evaluation.demo.training.labels import IGNORED
from evaluation.demo.training.worlds import Shapes
from evaluation.scenes.drawing import draw
from evaluation.scenes.questions import Question
from evaluation.scenes.scene import make_scene


@pytest.fixture(scope="module", params=FAMILIES)
def reader(request: pytest.FixtureRequest) -> Reader:
    torch.manual_seed(0)
    family = FAMILIES[request.param](Shapes.texts)
    return Reader(family, family.build_model().eval())


@pytest.fixture(scope="module")
def processor(reader: Reader, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The processor that the model is served with."""
    folder = tmp_path_factory.mktemp("model")
    reader.family.save(reader.family.build_model(), folder)
    return AutoProcessor.from_pretrained(folder)


GRIDS = [(224, 168), (336, 112)]  # one that crops do not fill, and one of three crops


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("context", [["system"], ["user", "assistant"]])
def test_each_conversation_is_learnt_as_it_is_served(
    reader: Reader, processor: Any, grid: tuple[int, int], context: list[str]
) -> None:
    conversations = Conversations(reader.family, Shapes(), Lesson(rounds=1))
    scene = make_scene(1, "train", grid=grid)
    sources = map(random.Random, range(100))
    batches = (conversations.assemble([scene], source) for source in sources)
    batch = next(batch for batch in batches if roles(batch["prefix"]) == [*context, "user"])
    said = spoken(processor.tokenizer, batch["prefix"])
    with torch.no_grad():
        logits, _ = reader(batch)
    questions, rows = iter(conversations.questions(scene)), iter(logits)
    for number in range(int(batch["turns"].max()) + 1):
        tokens = batch["tokens"][batch["turns"] == number]
        held = [next(questions) for token in tokens if token == ASSISTANT]
        text = processor.apply_chat_template([*said, *messages(held)], tokenize=False)
        inputs = processor(images=draw(scene), text=text, return_tensors="pt")
        served = inputs["input_ids"][0]
        assert torch.equal(served[: len(batch["prefix"])], batch["prefix"])
        assert torch.equal(served[-len(tokens) :], tokens)
        learnt = [next(rows) for question in held for _ in range(answer_length(processor.tokenizer, question))]
        if number % 5 == 0:
            with torch.no_grad():
                alone = reader.model(**inputs).logits[0, -len(tokens) :]
            torch.testing.assert_close(torch.stack(learnt), alone[answering(tokens)], atol=2e-2, rtol=0)
    assert [*questions, *rows] == []


def roles(prefix: torch.Tensor) -> list[str]:
    names = {SPECIAL_TOKENS.index(f"<|{role}|>"): role for role in ("system", "user", "assistant")}
    return [names[token] for token in prefix.tolist() if token in names]


def spoken(tokenizer: Any, prefix: torch.Tensor) -> list[dict[str, Any]]:
    """The messages before the one with the picture."""
    *before, _ = re.findall(r"<\|(system|user|assistant)\|>([^<]*)", tokenizer.decode(prefix))
    return [{"role": role, "content": content} for role, content in before]


def messages(questions: list[Question]) -> list[dict[str, Any]]:
    """A conversation, its picture sent after the first question, as many clients do."""
    said: list[dict[str, Any]] = []
    for question in questions:
        said += [{"role": "user", "content": question.text}, {"role": "assistant", "content": question.answer}]
    said[0]["content"] = [{"type": "text", "text": said[0]["content"]}, {"type": "image"}]
    return said


def answer_length(tokenizer: Any, question: Question) -> int:
    return len(tokenizer(question.answer)["input_ids"]) + 1


def answering(tokens: torch.Tensor) -> torch.Tensor:
    """Whether a token is followed by one of an answer."""
    answers, answering = [], False
    for token in tokens.tolist():
        answering = (answering or token == ASSISTANT) and token != END
        answers.append(answering)
    return torch.tensor(answers)


def test_the_tower_does_not_learn_in_the_second_stage(reader: Reader) -> None:
    frozen = {name for name, parameter in reader.named_parameters() if not parameter.requires_grad}
    tower = {
        f"model.{name}" for name, _ in reader.model.named_parameters() if "vision_tower" in name or "visual" in name
    }
    assert frozen == {name for name in tower if "merger" not in name}


def test_batches_are_reproducible_and_begin_with_small_pictures() -> None:
    lesson = Lesson(scenes=1, rounds=2, small=4)
    one, again = (Conversations(FAMILIES["llava"](Shapes.texts), Shapes(), lesson) for _ in range(2))
    batches = [one.batch(number) for number in range(12)]
    crops = [len(batch["pixels"]) for batch in batches]
    assert set(crops[:4]) == {3}
    assert set(crops[4:]) > {3, 5}
    for batch, other in zip(batches, map(again.batch, range(12)), strict=True):
        assert torch.equal(batch["pixels"], other["pixels"])
        assert torch.equal(batch["tokens"], other["tokens"])
        assert (batch["labels"] != IGNORED).any()


def test_only_what_is_wanted_counts_for_what_is_found() -> None:
    wanted = torch.tensor([[[1, IGNORED], [0, 1]]])  # [scenes, num_tokens, 2]
    right = torch.nn.functional.one_hot(wanted.clamp(0), 2) * 20.0
    loss, fraction = found_loss([right, right], wanted)
    assert loss < 1e-6
    assert fraction == 1
    loss, fraction = found_loss([right, -right], wanted)
    torch.testing.assert_close(loss, torch.tensor(10.0))
    assert fraction == 0


def test_nothing_wanted_costs_nothing() -> None:
    loss, fraction = found_loss([torch.ones(1, 3, 2, 4, requires_grad=True)], torch.full((1, 3, 2), IGNORED))
    loss.backward()
    assert loss == 0
    assert fraction != fraction
