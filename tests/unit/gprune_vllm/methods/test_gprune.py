"""G-Prune's score, held against the paper's equations written down once more: in float64, and with a matrix power."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gprune_vllm.methods.gprune import cosine_similarity, edge_weights, euclidean_similarity, gprune_scores

RELEASED: dict[str, Any] = {"threshold": 0.5, "temperature": 0.03, "iterations": 5}
PAPER: dict[str, Any] = {"threshold": 0.5, "temperature": None, "iterations": 5}
VARIANTS = pytest.mark.parametrize("variant", [RELEASED, PAPER], ids=["released code", "paper"])


def reference_similarity(features: Tensor, similarity: str) -> Tensor:
    """Between tokens of one graph, in float64."""
    features = features.double()
    norms = features.norm(dim=-1)
    if similarity == "euclidean":
        distances = (features.unsqueeze(0) - features.unsqueeze(1)).norm(dim=-1)
        return 1 - distances / (2 * norms.mean()).clamp_min(1e-300)
    directions = features / norms.clamp_min(1e-300).unsqueeze(-1)
    return directions @ directions.T


def reference_scores(
    features: Tensor,
    threshold: float,
    temperature: float | None,
    iterations: int,
    score: str = "l2norm",
    metric: str = "cosine",
) -> Tensor:
    """Equations 1 to 5 for one graph, in float64."""
    similarity = reference_similarity(features, metric)
    edges = similarity > threshold if temperature is None else similarity >= threshold
    loops = torch.eye(len(features), dtype=torch.bool)
    similarity, edges = similarity.masked_fill(loops, 1.0), edges | loops
    graph = (similarity / (temperature or 1.0)).masked_fill(~edges, -torch.inf).softmax(dim=-1)
    initial = features.double().norm(dim=-1) if score == "l2norm" else torch.ones(len(features)).double()
    scores = initial @ torch.linalg.matrix_power(graph, iterations)
    return scores / (graph > 0).sum(dim=-1)


def scattered(num_tokens: int, hidden_size: int, seed: int) -> Tensor:
    """Features without structure: few edges."""
    return torch.randn(num_tokens, hidden_size, generator=torch.Generator().manual_seed(seed))


def clustered(num_tokens: int, hidden_size: int, seed: int, spread: float = 0.5) -> Tensor:
    """Features around a few centres, of different lengths: many edges, as patches of a photo have."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(5, hidden_size, generator=generator)
    features = centres[torch.randint(5, (num_tokens,), generator=generator)]
    features = features + spread * torch.randn(num_tokens, hidden_size, generator=generator)
    return features * torch.rand(num_tokens, 1, generator=generator).mul(3).exp()


def awkward(num_tokens: int, hidden_size: int, seed: int) -> Tensor:
    """Zero vectors, duplicates, opposites and multiples among the features."""
    features = clustered(num_tokens, hidden_size, seed)
    model = features[-1].clone()
    for start, copy in enumerate((0 * model, model, -model, 7 * model)):
        features[start::5] = copy
    return features


def decided(features: Tensor, metric: str = "cosine", margin: float = 1e-5) -> bool:
    """Whether no similarity is so close to a threshold that rounding makes or breaks an edge."""
    similarity = reference_similarity(features, metric).unsqueeze(-1)
    return bool(((similarity - torch.tensor(THRESHOLDS)).abs() > margin).all())


DRAWS = (scattered, clustered, awkward)
THRESHOLDS = (-0.97, -0.31, 0.17, 0.5, 0.83)
graphs = st.builds(
    lambda draw, *arguments: draw(*arguments),
    *(st.sampled_from(DRAWS), st.integers(1, 60), st.sampled_from([2, 8, 32]), st.integers(0, 10**6)),
).filter(decided)


def assert_same_selections(scores: Tensor, expected: Tensor) -> None:
    """The top k agree for every k at which the expected scores leave no doubt."""
    ranking = expected.argsort(descending=True)
    ordered = expected[ranking]
    clear = (ordered[:-1] - ordered[1:] > 1e-4 * ordered[:-1]).nonzero().flatten() + 1
    for keep in clear.tolist():
        assert set(scores.topk(keep).indices.tolist()) == set(ranking[:keep].tolist())


@VARIANTS
@given(features=graphs)
def test_scores_and_selections_are_those_of_the_equations(variant: dict[str, Any], features: Tensor) -> None:
    expected = reference_scores(features, **variant)
    scores = gprune_scores(features, **variant)
    torch.testing.assert_close(scores.double(), expected, rtol=1e-4, atol=1e-6)
    assert_same_selections(scores.double(), expected)


@VARIANTS
@pytest.mark.parametrize("draw", DRAWS)
def test_a_crops_worth_of_tokens_scores_as_in_the_equations(variant: dict[str, Any], draw: Any) -> None:
    features = draw(576, 64, 1)
    expected = reference_scores(features, **variant)
    torch.testing.assert_close(gprune_scores(features, **variant).double(), expected, rtol=1e-4, atol=1e-6)


@settings(max_examples=40)
@given(
    features=graphs,
    threshold=st.sampled_from(THRESHOLDS),
    temperature=st.sampled_from([None, 0.03, 0.1, 1.0]),
    iterations=st.integers(0, 8),
)
def test_any_constants_score_as_in_the_equations(
    features: Tensor, threshold: float, temperature: float | None, iterations: int
) -> None:
    scores = gprune_scores(features, threshold, temperature, iterations)
    expected = reference_scores(features, threshold, temperature, iterations)
    torch.testing.assert_close(scores.double(), expected, rtol=1e-3, atol=1e-6)


@VARIANTS
@given(features=graphs)
def test_scores_that_start_at_one_are_those_of_the_equations(variant: dict[str, Any], features: Tensor) -> None:
    expected = reference_scores(features, **variant, score="ones")
    scores = gprune_scores(features, **variant, score="ones")
    torch.testing.assert_close(scores.double(), expected, rtol=1e-4, atol=1e-6)
    # From one each, the weight that comes in is shared by the degree: at the start lengths did not matter.
    torch.testing.assert_close(scores, gprune_scores(torch.nn.functional.normalize(features), **variant, score="ones"))


@VARIANTS
@given(features=graphs.filter(lambda features: decided(features, "euclidean", 1e-3)))
def test_distances_score_as_in_the_equations(variant: dict[str, Any], features: Tensor) -> None:
    expected = reference_scores(features, **variant, metric="euclidean")
    scores = gprune_scores(features, **variant, similarity="euclidean")
    # Short distances are differences of long squares: an error of 3e-4 there is one of a percent in the softmax.
    torch.testing.assert_close(scores.double(), expected, rtol=0.03, atol=1e-6)


def test_distances_worked_out_by_hand() -> None:
    features = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 3.0], [3.0, 0.0]])
    expected = 1 - torch.tensor([6.0, 3 * 2**0.5, 0.0]) / 6  # opposite, across, equal
    torch.testing.assert_close(euclidean_similarity(features)[0, 1:], expected, rtol=1e-3, atol=1e-3)


def test_at_the_default_threshold_tokens_of_one_length_have_the_same_edges_by_distance() -> None:
    features = 7 * torch.nn.functional.normalize(clustered(100, 8, 0))
    by_distance, by_angle = (similarity(features) >= 0.5 for similarity in (euclidean_similarity, cosine_similarity))
    assert torch.equal(by_distance.logical_or(torch.eye(100) > 0), by_angle)


def test_without_its_graph_a_score_stays_where_it_starts() -> None:
    features = clustered(20, 8, 0)
    assert torch.equal(gprune_scores(features, graph=False), features.norm(dim=-1))
    assert torch.equal(gprune_scores(features, score="ones", graph=False), torch.ones(20))


def test_a_graph_worked_out_by_hand() -> None:
    # Tokens 0 and 1 point the same way, token 2 away from them: A is a half everywhere among the two.
    features = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    # One step shares 1 + 2 evenly, further ones change nothing; degrees are 2, 2 and 1.
    expected = torch.tensor([0.75, 0.75, 3.0])
    torch.testing.assert_close(gprune_scores(features, **RELEASED), expected)
    torch.testing.assert_close(gprune_scores(features, **PAPER), expected)


def test_a_softmax_worked_out_by_hand() -> None:
    features = torch.tensor([[1.0, 0.0], [1.2, 1.6]])  # norms 1 and 2, cosine 0.6
    own = 1 / (1 + torch.tensor(-0.4).exp())
    expected = torch.stack((own + 2 * (1 - own), 1 - own + 2 * own)) / 2
    torch.testing.assert_close(gprune_scores(features, 0.5, None, 1), expected)


def test_the_released_code_joins_tokens_at_the_threshold_and_the_paper_above_it() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 3.0]])  # cosine 0, exactly
    torch.testing.assert_close(gprune_scores(features, 0.0, 1e9, 1), torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(gprune_scores(features, 0.0, None, 1), torch.tensor([1.0, 3.0]))


@pytest.mark.parametrize("temperature", [0.03, None])
def test_a_token_is_joined_to_itself_whatever_the_threshold(temperature: float | None) -> None:
    scores = gprune_scores(torch.tensor([[1.0, 0.0], [0.0, 3.0]]), 1.0, temperature, 5)
    torch.testing.assert_close(scores, torch.tensor([1.0, 3.0]))


def test_the_two_variants_choose_differently_among_clusters() -> None:
    features = clustered(200, 32, 3)
    chosen = [set(gprune_scores(features, **variant).topk(60).indices.tolist()) for variant in (RELEASED, PAPER)]
    assert len(chosen[0] & chosen[1]) < 50


@VARIANTS
def test_a_lone_token_scores_its_norm(variant: dict[str, Any]) -> None:
    torch.testing.assert_close(gprune_scores(torch.tensor([[3.0, 4.0]]), **variant), torch.tensor([5.0]))


@VARIANTS
def test_zero_tokens_score_zero_and_disturb_nobody(variant: dict[str, Any]) -> None:
    features = clustered(20, 8, 0)
    padded = torch.cat((features, torch.zeros(3, 8)))
    scores = gprune_scores(padded, **variant)
    assert scores[20:].tolist() == [0, 0, 0]
    torch.testing.assert_close(scores[:20], gprune_scores(features, **variant))


@VARIANTS
@pytest.mark.parametrize("size", [1e-15, 1e-19, 1e-21, 1e-23, 1e-25, 1e-37, 1e-42])
def test_tokens_next_to_nothing_disturb_nobody(variant: dict[str, Any], size: float) -> None:
    features = clustered(20, 8, 0)
    scores = gprune_scores(torch.cat((features, size * scattered(3, 8, 1))), **variant)
    assert scores.isfinite().all()
    assert set(scores.topk(5).indices.tolist()) <= set(range(20))


@VARIANTS
def test_duplicates_score_alike(variant: dict[str, Any]) -> None:
    features = clustered(30, 8, 1)
    scores = gprune_scores(torch.cat((features, features)), **variant)
    torch.testing.assert_close(scores[:30], scores[30:])


@given(features=graphs)
def test_propagation_only_moves_scores_about(features: Tensor) -> None:
    norms = torch.linalg.vector_norm(features, dim=-1)
    degrees = edge_weights(cosine_similarity(features), 0.5, 0.03).sign().sum(dim=-1)
    torch.testing.assert_close((gprune_scores(features) * degrees).sum(), norms.sum(), rtol=1e-4, atol=1e-6)


@VARIANTS
@given(features=graphs, seed=st.integers(0, 100))
def test_order_does_not_matter(variant: dict[str, Any], features: Tensor, seed: int) -> None:
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))
    shuffled = gprune_scores(features[order], **variant)
    torch.testing.assert_close(shuffled, gprune_scores(features, **variant)[order], rtol=1e-4, atol=1e-6)


@given(features=graphs, power=st.integers(-8, 8))
def test_scale_changes_no_edge_and_scales_scores(features: Tensor, power: int) -> None:
    scaled = features * 2.0**power  # exact, so that nothing rounds differently
    for similarity in (cosine_similarity, euclidean_similarity):
        weights = edge_weights(similarity(features), 0.5, 0.03)
        assert torch.equal(edge_weights(similarity(scaled), 0.5, 0.03), weights)
    assert torch.equal(gprune_scores(scaled), gprune_scores(features) * 2.0**power)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@VARIANTS
def test_half_precision_is_scored_in_float32(variant: dict[str, Any], dtype: torch.dtype) -> None:
    features = clustered(100, 16, 5).to(dtype)
    scores = gprune_scores(features, **variant)
    assert scores.dtype == torch.float32
    assert torch.equal(scores, gprune_scores(features.float(), **variant))


@VARIANTS
def test_batched_graphs_do_not_mix(variant: dict[str, Any]) -> None:
    features = torch.stack([draw(40, 8, seed) for draw in DRAWS for seed in range(2)]).unflatten(0, (3, 2))
    scores = gprune_scores(features, **variant)
    assert scores.shape == (3, 2, 40)
    for row in range(3):
        for column in range(2):
            torch.testing.assert_close(scores[row, column], gprune_scores(features[row, column], **variant))


def test_features_are_not_changed() -> None:
    features = clustered(10, 4, 0)
    before = features.clone()
    gprune_scores(features)
    assert torch.equal(features, before)
