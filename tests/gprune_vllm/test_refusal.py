"""Why a request is refused: for its client, and for the metrics."""

import pytest

from gprune_vllm.refusal import PruneRefusal, resolve_ratio
from gprune_vllm.settings import PruneSettings

SETTINGS = PruneSettings(default_prune_ratio=0.25, max_prune_ratio=0.5)


@pytest.mark.parametrize(("requested", "ratio"), [(None, 0.25), (0, 0.0), (-0.0, 0.0), (0.5, 0.5)])
def test_a_ratio_within_the_limit_is_resolved(requested: float | None, ratio: float) -> None:
    assert repr(resolve_ratio(SETTINGS, requested)) == repr(ratio)


INVALID = [(ratio, "invalid_ratio") for ratio in (1, -0.1, "0.3", True)]


@pytest.mark.parametrize(("requested", "reason"), [(0.51, "above_limit"), *INVALID])
def test_a_refusal_names_its_parameter_and_its_reason(requested: object, reason: str) -> None:
    with pytest.raises(PruneRefusal) as refusal:
        resolve_ratio(SETTINGS, requested)
    assert (refusal.value.parameter, refusal.value.reason) == ("prune_ratio", reason)
    assert str(refusal.value).startswith("prune_ratio ")
