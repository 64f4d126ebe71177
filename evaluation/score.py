"""Right or wrong, and how sure one can be of it."""

from collections.abc import Sequence

RESAMPLES = 2000
"""Bootstrap samples of an interval."""


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


def rank_correlation(left: Sequence[float], right: Sequence[float]) -> tuple[float, float, float]:
    """Spearman's rank correlation of paired values, and its bounds at 95 % confidence.

    The bounds are percentiles over bootstrap samples of the pairs (Efron, 1979), seed fixed. Samples in which all
    values are alike have no ranks and are left out.
    """
    import numpy
    from scipy.stats import spearmanr

    pairs = numpy.array([left, right])
    drawn = numpy.random.default_rng(0).integers(len(left), size=(RESAMPLES, len(left)))
    resampled = [pairs[:, each] for each in drawn]
    found = [spearmanr(*each).statistic for each in resampled if (each.min(axis=1) < each.max(axis=1)).all()]
    low, high = numpy.percentile(found, (2.5, 97.5))
    return float(spearmanr(left, right).statistic), float(low), float(high)


def clustered_interval(values: Sequence[float], clusters: Sequence[str]) -> tuple[float, float]:
    """Bounds of the mean of values at 95 % confidence, where values of one cluster depend on each other.

    The bounds are percentiles over bootstrap samples of whole clusters (Davison and Hinkley, 1997), seed fixed. If all
    values are 1, or all are 0, such samples are all alike, and the bounds are Wilson's for as many clusters.
    """
    import numpy

    if set(values) in ({0.0}, {1.0}):
        number = len(set(clusters))
        return wilson_interval(round(values[0]) * number, number)
    names, places = numpy.unique(clusters, return_inverse=True)
    sums = numpy.bincount(places, weights=values)  # [clusters]
    sizes = numpy.bincount(places)  # [clusters]
    drawn = numpy.random.default_rng(0).integers(len(names), size=(RESAMPLES, len(names)))  # [resamples, clusters]
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)  # [resamples]
    low, high = numpy.percentile(means, (2.5, 97.5))
    return float(low), float(high)
