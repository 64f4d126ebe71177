"""The oracle against Transformers' own generation, and against counts and places worked out by hand."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from evaluation.demo.checkpoint import Tower, write_checkpoint
from tests.support.families.llava_next import LlavaNextOracle
from tests.support.oracle import Oracle, Positions, Stage
from tests.support.oracle_methods import Group, Variant, edge_weights, keep, keep_count, scores
from tests.support.photos import china, generated, generated_sizes, grace_hopper


@pytest.fixture(scope="module", params=["clip", "siglip"])
def either_tower(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """The default checkpoint with either tower."""
    tower: Tower = request.param
    return LlavaNextOracle(write_checkpoint(tmp_path_factory.mktemp(tower), tower=tower))


def tokens(answer: list[tuple[int, float]]) -> list[int]:
    return [token for token, _ in answer]


@pytest.mark.parametrize("positions", ["original", "contiguous"])
def test_unpruned_is_what_transformers_generates(either_tower: Oracle, positions: Positions) -> None:
    images = [china(), generated(101, 67)]
    prompt = either_tower.chat("First ", images[0], "then ", images[1], "Compare them.")
    inputs = either_tower.processor(images=images, text=prompt, return_tensors="pt")
    output = either_tower.model.generate(
        **inputs, max_new_tokens=16, do_sample=False, return_dict_in_generate=True, output_logits=True
    )
    expected = output.sequences[0, inputs["input_ids"].shape[1] :]
    logprobs = torch.cat(output.logits).log_softmax(dim=-1)[torch.arange(16), expected]
    answer = either_tower.generate(images, prompt, ratio=0, positions=positions)
    assert tokens(answer) == expected.tolist()
    assert torch.allclose(torch.tensor([logprob for _, logprob in answer]), logprobs, atol=1e-4)


@pytest.mark.parametrize("size", generated_sizes())
def test_unpruned_embeddings_are_those_of_transformers(either_tower: Oracle, size: str) -> None:
    image = generated_sizes()[size]
    inputs = either_tower.processor.image_processor(image, return_tensors="pt")
    with torch.inference_mode():
        expected = either_tower.model.get_image_features(**inputs).pooler_output[0]
    [pruned] = either_tower.prune([image], ratio=0)
    assert pruned.length == len(expected)
    assert torch.equal(pruned.offsets, torch.arange(pruned.length))
    assert torch.allclose(pruned.embeddings, expected, atol=1e-4)


@pytest.mark.parametrize("stage", ["vision", "projector"])
@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.9, 0.99])
def test_kept_counts(oracle: Oracle, ratio: float, stage: Stage) -> None:
    # 640 x 427 is scaled to 224 x 149 in a 224 x 224 grid: 16 rows of cells lose 3 above and 3 below.
    [pruned] = oracle.prune([china()], ratio, stage=stage)
    assert pruned.length == 64 + 10 * (16 + 1)
    base, grid = pruned.kept
    assert len(base) == keep_count(64, ratio)
    assert len(grid) == keep_count(160, ratio)
    assert len(pruned.embeddings) == len(pruned.offsets) == len(base) + len(grid) + 10


def test_kept_tokens_are_unpruned_tokens_in_their_places(either_tower: Oracle) -> None:
    image = grace_hopper()
    [whole], [pruned] = either_tower.prune([image], ratio=0), either_tower.prune([image], ratio=0.7)
    assert pruned.offsets.tolist() == sorted(set(pruned.offsets.tolist()))
    assert torch.allclose(pruned.embeddings, whole.embeddings[pruned.offsets], atol=1e-4)
    newline = either_tower.model.model.image_newline
    rows = (whole.embeddings == newline).all(dim=-1).nonzero().flatten()
    assert torch.isin(rows, pruned.offsets).all()


def test_keep_count_rounds_before_the_floor() -> None:
    assert keep_count(10, 0.9) == 1
    assert keep_count(576, 0.9) == 57
    assert keep_count(10, 0.999) == 1
    assert keep_count(0, 0.5) == 0


def test_two_clusters_by_hand() -> None:
    # Two equal tokens and one at a right angle: rows are (1/2, 1/2, 0) twice and (0, 0, 1), so information stays as
    # it is, and the pair's is shared by a degree of two.
    features = torch.tensor([[3.0, 0.0], [3.0, 0.0], [0.0, 2.0]])
    variants: tuple[Variant, ...] = ("released", "paper")
    for variant in variants:
        assert scores(features, variant).tolist() == pytest.approx([1.5, 1.5, 2.0])
    assert keep(Group(features, torch.zeros(3), features), 1, "gprune")[0].tolist() == [2]


def test_variants_differ_in_temperature() -> None:
    features = torch.tensor([[1.0, 0.0], [0.8, 0.6]])  # cosine 0.8
    released, paper = edge_weights(features, "released"), edge_weights(features, "paper")
    assert float(released[0, 1]) == pytest.approx(1 / (1 + torch.tensor(0.2 / 0.03).exp().item()), rel=1e-3)
    assert float(paper[0, 1]) == pytest.approx(1 / (1 + torch.tensor(0.2).exp().item()), rel=1e-3)


def test_choices_matter(oracle: Oracle) -> None:
    images: list[Image.Image] = [grace_hopper()]
    prompt = oracle.chat("What is ", images[0], "this?")
    plain = oracle.generate(images, prompt, 0.7)
    assert tokens(plain) != tokens(oracle.generate(images, prompt, 0))
    assert tokens(plain) != tokens(oracle.generate(images, prompt, 0.7, stage="projector"))
    assert tokens(plain) != tokens(oracle.generate(images, prompt, 0.7, positions="contiguous"))
    assert tokens(plain) != tokens(oracle.generate(images, prompt, 0.7, variant="paper"))


def test_gaps_in_positions_do_not_split_the_sequence(oracle: Oracle) -> None:
    """The first token again, by one pass without a cache under a causal mask written out."""
    image = china()
    prompt = oracle.chat(image, "What is this?")
    embeddings, positions, following = oracle._prompt(prompt, oracle.prune([image], 0.9))
    assert len(positions) < following == int(positions[-1]) + 1
    mask = torch.full((len(positions), len(positions)), -torch.inf).triu(1)
    with torch.inference_mode():
        output = oracle.model.model.language_model(
            inputs_embeds=embeddings[None], position_ids=positions[None], attention_mask=mask[None, None]
        )
        logits = oracle.model.lm_head(output.last_hidden_state[0, -1])
    [(token, logprob)] = oracle.generate([image], prompt, 0.9, max_new_tokens=1)
    assert token == int(logits.argmax())
    assert logprob == pytest.approx(float(logits.log_softmax(dim=-1)[token]), abs=1e-4)


def test_text_alone_needs_no_image(oracle: Oracle) -> None:
    prompt = oracle.chat("Hello")
    assert oracle.generate([], prompt, 0.5) == oracle.generate([], prompt, 0)


def test_more_images_than_placeholders_is_an_error(oracle: Oracle) -> None:
    with pytest.raises(ValueError, match="more images"):
        oracle.generate([china()], "no placeholder", 0.5)


def test_same_checkpoint_same_answer(oracle: Oracle, tmp_path: Path) -> None:
    again = LlavaNextOracle(write_checkpoint(tmp_path))
    image, prompt = china(), oracle.chat(china(), "?")
    assert oracle.generate([image], prompt, 0.5) == again.generate([image], prompt, 0.5)
