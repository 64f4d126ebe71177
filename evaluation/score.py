"""Right or wrong, and how sure one can be of it."""


def is_right(answer: str, expected: str) -> bool:
    """Whether an answer is the expected one, spaces around it and letter case aside."""
    return answer.strip().casefold() == expected.strip().casefold()


def wilson_interval(right: int, questions: int) -> tuple[float, float]:
    """Bounds of the share of right answers at 95 % confidence, after Wilson (1927).

    It takes the questions for independent, which those about one picture are not quite.
    """
    if not questions:
        return 0.0, 1.0
    from scipy.stats import binomtest  # takes a second to import

    interval = binomtest(right, questions).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def sign_test(wins: int, losses: int) -> float:
    """How likely a difference of at least this size is by chance, where both methods answered the same questions.

    Args:
        wins: questions that only the one answered right.
        losses: questions that only the other did.

    Source: the exact form of McNemar's test (1947).
    """
    from scipy.stats import binomtest

    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
