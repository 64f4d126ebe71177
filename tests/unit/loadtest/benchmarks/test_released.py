"""The baseline must be what it says it is."""

import pytest
import torch

from gprune_vllm.methods.registry import select_tokens
from loadtest.benchmarks.features import features_of, seen_of
from loadtest.benchmarks.released import released_top_k
from tests.support import oracle_methods


@pytest.mark.parametrize("seed", range(3))
def test_keeps_what_the_oracle_keeps(seed: int) -> None:
    features = features_of(200, 64, torch.float32, "cpu", seed)
    expected = oracle_methods.scores(features).topk(60).indices
    kept = released_top_k(features, 60)
    assert set(kept.tolist()) == set(expected.tolist()) == set(select_tokens(features, 60).index.flatten().tolist())


def test_half_precision_is_computed_in_half_precision() -> None:
    features = features_of(200, 64, torch.bfloat16, "cpu")
    assert features.dtype == torch.bfloat16
    assert len(set(released_top_k(features, 60).tolist())) == 60


def test_features_have_some_edges_and_not_all() -> None:
    directions = torch.nn.functional.normalize(features_of(576, 1024, torch.float32, "cpu"))
    share = (directions @ directions.T >= 0.5).float().mean().item()
    assert 0.02 < share < 0.2


def test_what_a_tower_saw_has_a_value_for_each_token() -> None:
    assert {name: len(values) for name, values in seen_of(50, "cpu").items()} == {"attention": 50, "keys": 50}
