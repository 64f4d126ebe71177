"""Groups whose copies are selected each by itself."""

import torch

from gprune_vllm.adapter.pruning import select_groups
from gprune_vllm.methods.registry import select_tokens
from gprune_vllm.plan import Group, PlannedImage, TokenPlan
from tests.unit.gprune_vllm.support import METHODS, seen_of

PLAN = TokenPlan((Group(3, 4, kept=5, copies=2), Group(2, 5, kept=4)), structural=3, span=37, units=3)


def test_copies_count() -> None:
    assert (PLAN.patches, PLAN.patches_kept, PLAN.input, PLAN.kept) == (34, 14, 37, 17)
    assert PlannedImage.of(PlannedImage(PLAN, 1, 7).row()) == PlannedImage(PLAN, 1, 7)


@METHODS
def test_each_copy_is_selected_by_itself(method: str) -> None:
    tiles, other = torch.randn(34, 8, generator=torch.Generator().manual_seed(0)).split([24, 10])
    seen = [seen_of(tiles), seen_of(other)]
    of_groups = {name: [each[name] for each in seen] for name in seen[0]}
    found = select_groups([tiles, other], PLAN, method, of_groups, seed=3)
    for copy in range(2):
        part = slice(12 * copy, 12 * (copy + 1))
        alone = select_tokens(
            tiles[part], 5, method, seed=3, **{name: values[part] for name, values in seen[0].items()}
        )
        assert torch.equal(found[0].index[5 * copy : 5 * (copy + 1)], alone.index + 12 * copy)
        torch.testing.assert_close(found[0].features[5 * copy : 5 * (copy + 1)], alone.features)
    assert len(found[1].index) == 4
