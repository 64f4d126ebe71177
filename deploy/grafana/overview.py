"""The overview: what pruning saves, traffic, errors, saturation."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.board import Rows, board
from deploy.grafana.choosing import configuration, tenants
from deploy.grafana.objectives import objectives
from deploy.grafana.panels import OPERATIONS, TOKENS_PER_SECOND, lines, listing, number
from deploy.grafana.queries import BUCKET, increase, mean, quantile, rate, select, total

INPUT, KEPT = 'stage="input"', 'stage="kept"'
PRUNED_SHARE = f"1 - {rate('gprune_visual_tokens_total', KEPT)} / {rate('gprune_visual_tokens_total', INPUT)}"
CACHE_HITS = f"{rate('vllm:mm_cache_hits_total')} / {rate('vllm:mm_cache_queries_total')}"


def overview() -> Dashboard:
    """The dashboard to look at first."""
    service = {**objectives(), **_traffic(), **_errors(), **_saturation()}
    rows = {**_savings(), **service, **tenants(), **configuration(), **_servers()}
    return board("gprune-overview", "G-Prune / Overview", "What pruning visual tokens saves, and the service.", rows)


def _savings() -> Rows:
    return {
        "What pruning saves": [
            number("Visual tokens pruned", "Share of visual tokens that were dropped.", "percentunit", PRUNED_SHARE),
            number(
                "Mean ratio",
                "Mean pruning ratio of prompts with images, unpruned ones among them.",
                "percentunit",
                mean("gprune_prune_ratio"),
            ),
            number(
                "Prompt tokens saved",
                "Prompt tokens that the language model was spared, per second.",
                TOKENS_PER_SECOND,
                rate("gprune_prompt_tokens_saved_total"),
            ),
            number(
                "KV cache saved",
                "Bytes of KV cache that pruned tokens would have taken, over the time shown.",
                "bytes",
                increase("gprune_kv_cache_saved_bytes_total"),
            ),
            number(
                "Prefill saved",
                "Floating-point operations that pruned tokens would have cost, over the time shown.",
                OPERATIONS,
                increase("gprune_prefill_saved_flops_total"),
            ),
            number(
                "Time to first token, p90",
                "90th percentile of prompts with images.",
                "s",
                quantile(0.9, "gprune_time_to_first_token_seconds"),
            ),
            lines(
                "Visual tokens",
                "Visual tokens of prompts with images, before pruning and after it.",
                TOKENS_PER_SECOND,
                {
                    "input": rate("gprune_visual_tokens_total", INPUT),
                    "kept": rate("gprune_visual_tokens_total", KEPT),
                },
            ),
            lines(
                "Share pruned",
                "Share of visual tokens that were dropped. It is below the ratio: newline tokens always stay.",
                "percentunit",
                {"pruned": PRUNED_SHARE},
            ),
        ]
    }


def _traffic() -> Rows:
    return {
        "Traffic": [
            lines(
                "Prompts with images",
                "By pruning method, and by whether the request named its ratio, got the default, a canary, or what the "
                "adaptive policy chose.",
                "reqps",
                {"{{method}}, {{source}}": rate("gprune_requests_total", by="method, source")},
                width=6,
                stacked=True,
            ),
            lines(
                "Images and videos",
                "Images and videos per second, by the ratio they were pruned with.",
                "cps",
                {
                    f"{{{{{BUCKET}}}}}": rate("gprune_images_total", by=BUCKET),
                    f"videos {{{{{BUCKET}}}}}": rate("gprune_videos_total", by=BUCKET),
                },
                width=6,
                stacked=True,
            ),
            lines(
                "Generated tokens",
                "Output of all requests, and of those with images.",
                TOKENS_PER_SECOND,
                {"all": rate("vllm:generation_tokens_total"), "with images": rate("gprune_generation_tokens_total")},
                width=6,
            ),
            lines(
                "Multimodal cache hits",
                "Share of images whose preprocessed form was in vLLM's processor cache. Keys hold the ratio: an image "
                "at another ratio is another entry.",
                "percentunit",
                {"hits": CACHE_HITS},
                width=6,
            ),
        ]
    }


def _errors() -> Rows:
    return {
        "Errors": [
            lines(
                "Server errors",
                "Share of answers with a status of 5xx, rejections not counted.",
                "percentunit",
                {"{{job}}": select("job:gprune_server_errors:ratio_rate5m")},
                width=6,
            ),
            lines(
                "Answers by status",
                "HTTP answers. An error after a stream has begun is not among them, but in the panel to the right.",
                "reqps",
                {"{{status}}": rate("http_requests_total", by="status")},
                width=6,
            ),
            lines(
                "Requests by end",
                "Why requests of the engine ended: abort is a client that left, error is the engine's.",
                "reqps",
                {"{{finished_reason}}": rate("vllm:request_success_total", by="finished_reason")},
                width=6,
            ),
            lines(
                "Refusals",
                "Requests refused because of their pruning; docs/metrics.md tells what each reason means.",
                "reqps",
                {"{{reason}}": rate("gprune_refusals_total", by="reason")},
                width=6,
            ),
        ]
    }


def _saturation() -> Rows:
    return {
        "Saturation": [
            lines(
                "Requests",
                "Requests in the engine's batch, and those that wait for a place in it.",
                "short",
                {"running": total("vllm:num_requests_running"), "waiting": total("vllm:num_requests_waiting")},
                width=6,
            ),
            lines(
                "KV cache in use",
                "Share of KV-cache blocks in use. At 100 % requests are preempted and computed again.",
                "percentunit",
                {"{{instance}}, engine {{engine}}": select("vllm:kv_cache_usage_perc")},
                width=6,
            ),
            lines(
                "Ratio of requests that name none",
                "The adaptive policy raises it while requests wait or the KV cache is nearly full. Without it, this is "
                "the default ratio.",
                "percentunit",
                {"{{instance}}": select("gprune_adaptive_prune_ratio")},
                width=6,
            ),
            lines(
                "Preemptions",
                "Requests thrown out of the KV cache, to be computed again.",
                "cps",
                {"preemptions": rate("vllm:num_preemptions_total")},
                width=6,
            ),
            lines(
                "GPU utilisation",
                "Share of time in which a kernel runs, from the DCGM exporter. It is not filtered by the variables.",
                "percent",
                {"GPU {{gpu}}, {{Hostname}}": "DCGM_FI_DEV_GPU_UTIL"},
            ),
            lines(
                "GPU memory in use",
                "From the DCGM exporter. vLLM takes its share at start, whatever it holds.",
                "mbytes",
                {"GPU {{gpu}}, {{Hostname}}": "DCGM_FI_DEV_FB_USED"},
            ),
        ]
    }


def _servers() -> Rows:
    return {
        "Servers": [
            listing(
                "What is served",
                "Models, and how their visual tokens are pruned.",
                select("gprune_info"),
                hidden=["job"],
            ),
            lines(
                "Ratios in force",
                "The ratio of requests that name none, and the largest that a request may name: 1 is no limit.",
                "percentunit",
                {
                    "default, {{instance}}": select("gprune_default_prune_ratio"),
                    "limit, {{instance}}": select("gprune_max_prune_ratio"),
                },
                width=24,
            ),
        ]
    }
