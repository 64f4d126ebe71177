"""Smaller pictures have the tokens that pruning would have left, where there are such pictures."""

from dataclasses import replace

import pytest
from PIL import Image

from evaluation.demo import DEMO_MODEL, MODELS
from evaluation.downsampling import downsampled, token_count
from evaluation.picture import Picture
from evaluation.sample import Sample, load_samples


@pytest.fixture(scope="module")
def sample() -> Sample:
    return replace(load_samples(1)[0], picture=Picture.of(Image.new("RGB", (224, 224))))


@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.5, 0.6])
def test_a_smaller_picture_has_as_few_tokens_as_asked_and_hardly_fewer(sample: Sample, ratio: float) -> None:
    tokens = token_count(str(MODELS / "qwen"))
    (smaller,) = downsampled([sample], ratio, tokens)
    allowed = (1 - ratio) * tokens(*sample.picture.size)
    assert 0.7 * allowed < tokens(*smaller.picture.size) <= allowed
    assert smaller == replace(sample, picture=smaller.picture)


def test_nothing_is_done_to_a_picture_that_may_keep_its_tokens(sample: Sample) -> None:
    (same,) = downsampled([sample], 0.0, token_count(str(DEMO_MODEL)))
    assert same.picture.size == sample.picture.size


def test_where_no_picture_has_so_few_tokens_it_is_the_largest_with_the_fewest(sample: Sample) -> None:
    """A crop and its grid of one are the least that anyres takes."""
    tokens = token_count(str(DEMO_MODEL))
    (smaller,) = downsampled([sample], 0.9, tokens)
    assert tokens(*smaller.picture.size) == tokens(16, 16) < tokens(*sample.picture.size)
    height, width = smaller.picture.size
    assert tokens(round(height / 0.9), round(width / 0.9)) > tokens(height, width)


def test_questions_about_a_picture_share_the_smaller_one() -> None:
    samples = load_samples(1)
    smaller = downsampled(samples, 0.5, token_count(str(DEMO_MODEL)))
    assert [one.question for one in smaller] == [one.question for one in samples]
    assert len({id(one.picture) for one in smaller}) == 1
