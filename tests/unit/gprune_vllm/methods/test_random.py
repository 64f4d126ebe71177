"""Random draws repeat themselves and favour nobody."""

import pytest
import torch
from torch import Tensor

from gprune_vllm.methods.random import draw_tokens


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def draw(tokens: Tensor, keep: int, seed: int | None = None) -> Tensor:
    return draw_tokens(tokens, keep, seed).sort().values


def test_a_draw_repeats_itself_on_the_same_content() -> None:
    assert torch.equal(draw(features(100, 4), 30), draw(features(100, 4), 30))


def test_a_draw_is_new_where_one_number_differs() -> None:
    changed = features(100, 4)
    changed[57, 2] += 1e-6
    assert not torch.equal(draw(features(100, 4), 30), draw(changed, 30))


def test_a_draw_is_new_where_tokens_change_places() -> None:
    tokens = features(100, 4)
    assert not torch.equal(draw(tokens, 30), draw(tokens.flip(0), 30))


def test_a_seed_names_the_content() -> None:
    noisy = features(100, 4) + 1e-3 * features(100, 4, seed=1)
    draws = [draw(tokens, 30, seed=5) for tokens in (features(100, 4), noisy)]
    assert torch.equal(*draws)
    assert not torch.equal(draws[0], draw(noisy, 30, seed=6))


@pytest.mark.parametrize("by_seed", [True, False], ids=["by seed", "by content"])
def test_a_draw_favours_no_token(by_seed: bool) -> None:
    draws, num_tokens, keep = 2000, 50, 10
    counts = torch.zeros(num_tokens)
    for seed in range(draws):
        tokens = features(num_tokens, 2, seed=0 if by_seed else seed)
        counts[draw(tokens, keep, seed if by_seed else None)] += 1
    expected = draws * keep / num_tokens
    # Drawn without replacement, a token's count has this variance; 49 degrees of freedom, p = 0.001.
    chi_squared = (
        ((counts - expected) ** 2 / (expected * (1 - keep / num_tokens))).sum() * (num_tokens - 1) / num_tokens
    )
    assert chi_squared < 85.4


def test_a_draw_favours_no_pair_of_neighbours() -> None:
    draws, num_tokens, keep = 2000, 20, 10
    together = sum(int((draw(features(num_tokens, 2), keep, seed).diff() == 1).sum()) for seed in range(draws))
    expected = draws * (num_tokens - 1) * keep * (keep - 1) / (num_tokens * (num_tokens - 1))
    assert abs(together / expected - 1) < 0.03
