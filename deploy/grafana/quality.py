"""What pruning costs: how far answers are from those of the unpruned model."""

from deploy.grafana.board import Rows
from deploy.grafana.panels import lines
from deploy.grafana.queries import BUCKET, mean, rate, select

LEGEND = f"{{{{{BUCKET}}}}}, {{{{method}}}}"
CELL = f"{BUCKET}, method"


def quality() -> Rows:
    """The row of shadow quality. It stays empty without `--prune-shadow-fraction`."""
    return {
        "What pruning costs": [
            lines(
                "Agreement with the unpruned model",
                "Share of an answer's tokens that the unpruned model would have put first, on average. Compare it with "
                "that of ratio 0, which is below 1 where requests sample.",
                "percentunit",
                {LEGEND: mean("gprune_shadow_agreement", by=CELL)},
            ),
            lines(
                "Log-probability gap",
                "How far the tokens of an answer are below the unpruned model's first choice, on average, in nats.",
                "none",
                {LEGEND: mean("gprune_shadow_logprob_gap", by=CELL)},
            ),
            lines(
                "Judgements",
                "Answers that were chosen to be judged, per second, by what became of it.",
                "cps",
                {"{{outcome}}": rate("gprune_shadow_total", by="outcome")},
                stacked=True,
            ),
            lines(
                "Ratio that agreement allows",
                "Largest ratio that the server may choose by itself, on the server that allows least. It is 1 without "
                "`--min-agreement`.",
                "percentunit",
                {"largest ratio": f"min({select('gprune_agreement_prune_ratio')})"},
            ),
        ]
    }
