"""PromQL of the dashboards: each function returns an expression over the servers that the variables choose."""

BUCKET = "ratio_bucket"
WINDOW = "[$__rate_interval]"


def select(metric: str, *matchers: str) -> str:
    """The series of a metric. Only vLLM's metrics name their model: one instance serves one model.

    The recording rules of `job:` have no other label to choose servers by.
    """
    if metric.startswith("job:"):
        return f'{metric}{{job=~"$job"}}'
    served = ['namespace=~"$namespace"', 'job=~"$job"', 'instance=~"$instance"']
    model = ['model_name=~"$model_name"'] if metric.startswith(("vllm:", "gprune_info")) else []
    return f"{metric}{{{', '.join([*served, *model, *matchers])}}}"


def total(metric: str, *matchers: str, by: str = "") -> str:
    """The sum of a gauge."""
    return f"{_sum(by)}({select(metric, *matchers)})"


def rate(metric: str, *matchers: str, by: str = "") -> str:
    """How fast a counter grows, per second."""
    return f"{_sum(by)}(rate({select(metric, *matchers)}{WINDOW}))"


def increase(metric: str, *matchers: str) -> str:
    """How much a counter grew over the time shown."""
    return f"sum(increase({select(metric, *matchers)}[$__range]))"


def quantile(level: float, histogram: str, *matchers: str, by: str = "") -> str:
    """A quantile of a histogram."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({level}, {rate(f'{histogram}_bucket', *matchers, by=labels)})"


def mean(histogram: str, by: str = "") -> str:
    """The mean of a histogram."""
    return f"{rate(f'{histogram}_sum', by=by)} / {rate(f'{histogram}_count', by=by)}"


def _sum(by: str) -> str:
    return f"sum by ({by}) " if by else "sum"
