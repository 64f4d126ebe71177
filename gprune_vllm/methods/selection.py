"""What a selection method decides: which tokens stay, and what they look like."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Selection:
    """The tokens that stay of each group.

    Attributes:
        features: `[..., keep, hidden_size]`, the dtype of the features selected from. A token that others were merged
            into differs from what it was.
        index: `[..., keep]` int64, the places of these tokens among those selected from, ascending and distinct. A
            merged token has the place of the one that the others were merged into.
    """

    features: Tensor
    index: Tensor

    @classmethod
    def of(cls, features: Tensor, index: Tensor) -> "Selection":
        """The tokens `index` of `features`, in order and otherwise unchanged.

        Args:
            features: `[..., num_tokens, hidden_size]`.
            index: `[..., keep]` int64, in any order.
        """
        index = index.sort(dim=-1).values
        return cls(take(features, index), index)

    def ordered(self) -> "Selection":
        """The same tokens by ascending index."""
        index, order = self.index.sort(dim=-1)
        return Selection(take(self.features, order), index)


def take(tokens: Tensor, index: Tensor) -> Tensor:
    """Rows of each group.

    Args:
        tokens: `[..., num_tokens, size]`.
        index: `[..., keep]` int64.

    Returns:
        `[..., keep, size]`.
    """
    return tokens.gather(-2, index.unsqueeze(-1).expand(*index.shape, tokens.shape[-1]))
