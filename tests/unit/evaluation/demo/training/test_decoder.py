"""What the model is trained on is what it is served: the same tokens, at the same places, seen alike."""

import pytest
import torch

from evaluation.demo.checkpoint import build_processor
from evaluation.demo.tokenizer import END, build_tokenizer
from evaluation.demo.training.conversation import Conversations, Lesson
from evaluation.demo.training.decoder import Reader, found_loss
from evaluation.demo.training.export import OPTIONS, build_model
from evaluation.demo.training.labels import IGNORED
from evaluation.scenes.drawing import draw
from evaluation.scenes.questions import all_texts
from evaluation.scenes.scene import make_scene


@pytest.fixture(scope="module")
def reader() -> Reader:
    torch.manual_seed(0)
    return Reader(build_model().eval())


@pytest.mark.parametrize("grid", [(224, 168), (336, 112)])  # one that crops do not fill, and one of three crops
def test_each_question_is_answered_as_if_it_had_been_put_alone(reader: Reader, grid: tuple[int, int]) -> None:
    tokenizer = build_tokenizer(all_texts())
    processor = build_processor(OPTIONS, tokenizer)
    conversations = Conversations(tokenizer, processor.image_processor, Lesson(rounds=1))
    scenes = [make_scene(seed, "train", grid=grid) for seed in range(2)]
    batch = conversations.assemble(scenes, grid)
    with torch.no_grad():
        trained, tokens = reader(batch)
    row = 0
    for scene in scenes:
        for number, question in enumerate(conversations.questions(scene)):
            answer = torch.tensor([*tokenizer.encode(question.answer).ids, END])
            rows = slice(row, row + len(answer))
            row += len(answer)
            assert torch.equal(tokens[rows], answer)
            if number % 6:
                continue
            prompt = f"<s><|user|><image>\n{question.text}<|assistant|>{question.answer}</s>"
            inputs = processor(images=draw(scene), text=prompt, return_tensors="pt")
            with torch.no_grad():
                alone = reader.model(**inputs).logits[0]
            torch.testing.assert_close(trained[rows], alone[-len(answer) - 1 : -1], atol=2e-2, rtol=0)
    assert row == len(tokens)


def test_the_tower_does_not_learn_in_the_second_stage(reader: Reader) -> None:
    frozen = {name for name, parameter in reader.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, _ in reader.named_parameters() if "vision_tower" in name}


def test_batches_are_reproducible_and_begin_with_small_pictures() -> None:
    tokenizer = build_tokenizer(all_texts())
    image_processor = build_processor(OPTIONS, tokenizer).image_processor
    lesson = Lesson(scenes=1, rounds=2, small=4)
    one, again = (Conversations(tokenizer, image_processor, lesson) for _ in range(2))
    batches = [one.batch(number) for number in range(12)]
    assert {max(batch["grid"]) for batch in batches[:4]} == {224}
    assert {max(batch["grid"]) for batch in batches[4:]} == {224, 336}
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
