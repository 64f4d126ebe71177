"""The label `ratio_bucket` of metrics."""

RATIO_BUCKETS = ("0", "0-0.3", "0.3-0.5", "0.5-0.7", "0.7-1")
"""Values of the label. Buckets include their upper bound."""


def ratio_bucket(ratio: float) -> str:
    """Return the value of `ratio_bucket` for a ratio."""
    bounds = (0.0, 0.3, 0.5, 0.7, 1.0)
    return next(name for name, bound in zip(RATIO_BUCKETS, bounds, strict=True) if ratio <= bound)
