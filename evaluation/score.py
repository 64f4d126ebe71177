"""Right or wrong, and how sure one can be of a share."""

from math import comb, sqrt
from statistics import NormalDist


def is_right(answer: str, expected: str) -> bool:
    """Whether an answer is the expected one, spaces around it and letter case aside."""
    return answer.strip().casefold() == expected.strip().casefold()


def wilson_interval(right: int, questions: int, confidence: float = 0.95) -> tuple[float, float]:
    """Bounds of the share of right answers.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927. It takes the
    questions for independent, which those about one picture are not quite.
    """
    if not questions:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = right / questions
    centre = share + z**2 / (2 * questions)
    spread = z * sqrt(share * (1 - share) / questions + z**2 / (4 * questions**2))
    scale = 1 + z**2 / questions
    return min(share, (centre - spread) / scale), max(share, (centre + spread) / scale)  # rounding aside


def sign_test(wins: int, losses: int) -> float:
    """How likely a difference of at least this size is by chance, where both methods answered the same questions.

    Args:
        wins: questions that only the one answered right.
        losses: questions that only the other did.

    Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions", 1947, in its
    exact form.
    """
    decided = wins + losses
    tail = sum(comb(decided, count) for count in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail / (1 << decided))
