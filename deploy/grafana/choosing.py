"""Who asks for how much pruning, and which settings are in force."""

from deploy.grafana.board import Rows
from deploy.grafana.panels import lines
from deploy.grafana.queries import BUCKET, mean, rate, select

INPUT, KEPT = (
    rate("gprune_tenant_visual_tokens_total", f'stage="{stage}"', by="tenant") for stage in ("input", "kept")
)


def tenants() -> Rows:
    """The row of tenants. It stays empty while `--prune-config` lists none."""
    return {
        "Tenants": [
            lines(
                "Prompts by tenant and ratio",
                "Prompts with images, by who sent them and by their ratio.",
                "reqps",
                {
                    f"{{{{tenant}}}}, {{{{{BUCKET}}}}}": rate("gprune_tenant_requests_total", by=f"tenant, {BUCKET}"),
                },
                width=8,
                stacked=True,
            ),
            lines(
                "Share pruned by tenant",
                "Share of visual tokens that were dropped.",
                "percentunit",
                {"{{tenant}}": f"1 - {KEPT} / {INPUT}"},
                width=8,
            ),
            lines(
                "Refusals by tenant",
                "Requests refused because of their pruning.",
                "reqps",
                {"{{tenant}}, {{reason}}": rate("gprune_tenant_refusals_total", by="tenant, reason")},
                width=8,
            ),
        ]
    }


def configuration() -> Rows:
    """The row of `--prune-config`, and of the canary that it may have."""
    return {
        "Configuration": [
            lines(
                "Contents in force",
                "Number of contents of --prune-config that have been in force since the start, on the API server that "
                "is behind, and 1 while the file is invalid.",
                "short",
                {
                    "{{instance}}": select("gprune_config_generation"),
                    "{{instance}}, invalid": select("gprune_config_rejected"),
                },
                width=6,
            ),
            lines(
                "Different contents",
                "Number of contents in force across all servers. It is 1 unless they are changing.",
                "short",
                {"contents": f'count(count_values("hash", {select("gprune_config_hash")}))'},
                width=6,
            ),
            lines(
                "Prompts by source of the ratio",
                "A canary is a ratio that is tried on a share of the requests that set none.",
                "reqps",
                {"{{source}}": rate("gprune_requests_total", by="source")},
                width=6,
                stacked=True,
            ),
            lines(
                "Agreement by source of the ratio",
                "Share of an answer's tokens that the unpruned model would have put first: compare the canary with the "
                "default.",
                "percentunit",
                {"{{source}}": mean("gprune_shadow_agreement", by="source")},
                width=6,
            ),
        ]
    }
