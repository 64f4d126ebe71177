"""The servers that vLLM's tests are given: each answers to the names of all the models that tests ask for."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

MODELS = (
    "HuggingFaceH4/zephyr-7b-beta",
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    "HuggingFaceTB/SmolVLM-256M-Instruct",
    "Qwen/Qwen2-1.5B-Instruct",
    "Qwen/Qwen2.5-1.5B-Instruct",
    "Qwen/Qwen2.5-VL-3B-Instruct",
    "Qwen/Qwen3-0.6B",
    "Qwen/Qwen3-1.7B",
    "Qwen/Qwen3-8B",
    "Qwen/Qwen3-VL-2B-Instruct",
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    "facebook/opt-125m",
    "gpt2",
    "intfloat/multilingual-e5-small",
    "llava-hf/llava-1.5-7b-hf",
    "llava-hf/llava-v1.6-mistral-7b-hf",
    "microsoft/Phi-3.5-vision-instruct",
    "openai-community/gpt2",
)
ALIASES = ("claude-3-7-sonnet-latest",)
ADAPTERS = ("charent/self_cognition_Alice", "Jackmin108/Qwen3-0.6B-Meow-LoRA", "typeof/zephyr-7b-beta-lora")


def commands(adapter: Path, positions: int, vocabulary: int) -> dict[str, Sequence[str]]:
    """The commands of the servers that vLLM's tests are given, by the names that `selection` has for them."""
    limits = ("--limit-mm-per-prompt", '{"image": 2}', "--max-num-seqs", "128")
    # Tests serve images on this machine.
    media = ("--allowed-media-domains", "127.0.0.1", "--media-networks", "127.0.0.0/8")
    tools = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")
    stores = (
        "env",
        "VLLM_ENABLE_V1_MULTIPROCESSING=0",
        "VLLM_ENABLE_RESPONSES_API_STORE=1",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1",
    )
    serve = str(Path(sys.executable).parent / "gprune-serve")
    program = (serve, "Qwen/Qwen3-0.6B", "--enforce-eager", "--distributed-executor-backend", "uni")
    model = ("--dtype", "float32", "--default-prune-ratio", "0")
    common = (*stores, *program, *model, *limits, *media, *tools, "--trust-image-uuids")
    names = ("--served-model-name", *MODELS, *ALIASES)
    usage = ("--enable-prompt-tokens-details", "--enable-force-include-usage")
    return {
        "plain": [
            *(*common, *names, *lora("zephyr-lora", adapter), *greedy(max_new_tokens=256), "--max-model-len", "8192"),
            *("--enable-tokenizer-info-endpoint", "--enable-server-load-tracking"),
        ],
        "guarded": [
            *(*common, *names, *greedy(), "--max-model-len", str(positions), "--max-num-batched-tokens", "1000"),
            *("--api-key", "abc-123", "token-abc123", "test", "--root-path", "/llm", "--enable-request-id-headers"),
            "--enable-prompt-tokens-details",
        ],
        "open": [
            *(*common, *names, *greedy(max_new_tokens=256, repetition_penalty=1.0), "--max-model-len", "8192"),
            *(*usage, "--max-logprobs", str(vocabulary), "--enable-scale-out", "--enable-mm-embeds"),
        ],
        "adapters": [*common, *lora("qwen3-lora", adapter), *greedy(max_new_tokens=64), "--max-model-len", "8192"],
    }


def greedy(**defaults: float) -> tuple[str, ...]:
    """The flag that makes answers the same each time, unless a request asks otherwise."""
    return ("--override-generation-config", json.dumps({"temperature": 0.0, **defaults}))


def lora(name: str, adapter: Path) -> tuple[str, ...]:
    """The flags of an adapter."""
    return ("--enable-lora", "--lora-modules", f"{name}={adapter}", "--max-lora-rank", "64", "--max-cpu-loras", "2")
