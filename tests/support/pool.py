"""The servers that tests share, by name. Starting one takes longer than most tests."""

import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import copy

from evaluation.demo import MODELS
from tests.support.adapter import adapt
from tests.support.questions import SHADOW_FRACTION
from tests.support.servers import API_KEY, ONE_PROCESS, STOCK_SERVE, Recipe, Server

STEPS = (*ONE_PROCESS, "--max-num-batched-tokens", "128", "--max-num-seqs", "16")
"""Prompts of more than 128 tokens are prefilled in chunks."""
CONFIG = Path(__file__).parent / "prune.yaml"
KEY = ("--api-key", API_KEY)
TENANTS = ("--prune-config", str(Path(__file__).parent / "tenants.yaml"))
SHADOW = ("--prune-shadow-fraction", str(SHADOW_FRACTION))
"""So small a share that only requests with the id of `questions.chosen_id` are judged."""

LEAST_AGREEMENT = 0.9
ADAPTER, ADAPTED = "tiny-adapter", "language_model.model.layers.1.mlp.down_proj"
"""An adapter that the server `LIMITED` serves, and the module that it changes."""
IMPATIENT = (
    *(sys.executable, "-c"),
    "from gprune_server import serve; from gprune_server.shadow import ceiling; ceiling.HOLD = 1.0; serve.main()",
)
"""`gprune-serve`, whose ratio may rise a second after agreement lowered it, and not ten minutes after that."""

PAGE = "https://page.example"
"""A page of another origin, which may ask the server `LIMITED`."""

DEFAULT, STOCK, DEMO, QWEN_DEMO, GUARDED, LIMITED, SMALL, TENSOR, DATA = (
    *("default", "stock", "demo", "qwen-demo", "guarded", "limited"),
    *("small", "tensor", "data"),
)
DEMOS = {DEMO: MODELS / "llava", QWEN_DEMO: MODELS / "qwen"}
"""What the servers of demo models serve."""
DEMO_OPTIONS = (*ONE_PROCESS, "--served-model-name", "gprune-demo", "--prune-methods", "all", "--playground", *KEY)
"""As `make serve` serves a demo model, with a key."""
DEFAULT_METHOD = {"GPRUNE_PRUNE_METHOD": ""}
RECIPES: Mapping[str, Recipe] = {
    # Default settings and caches, responses are stored, answers to chosen requests are judged, and there is a tenant.
    DEFAULT: Recipe(
        (*STEPS, *KEY, "--enable-prompt-tokens-details", "--prune-methods", "all", *SHADOW, *TENANTS),
        environment={"VLLM_ENABLE_RESPONSES_API_STORE": "1"},
    ),
    # vLLM without the plugin, scheduled like the default server.
    STOCK: Recipe((*STEPS, *KEY), STOCK_SERVE, {"VLLM_PLUGINS": ""}),
    DEMO: Recipe((*DEMO_OPTIONS, *SHADOW), environment=DEFAULT_METHOD),
    QWEN_DEMO: Recipe(DEMO_OPTIONS, environment=DEFAULT_METHOD),
    # `vllm serve` with the plugin, limits from the environment, and room for two requests.
    GUARDED: Recipe(
        (*ONE_PROCESS, *KEY, "--max-num-queued-reqs", "2", "--shutdown-timeout", "600"),
        STOCK_SERVE,
        {"VLLM_PLUGINS": "gprune", "GPRUNE_MAX_REQUEST_BYTES": "100000", "GPRUNE_MAX_IMAGE_PIXELS": "5000"},
    ),
    # All that an operator can set about ratios and methods, in flags, headers and the file `CONFIG`, with an adapter,
    # answers that are judged and limit the default ratio, and traces exported at once.
    LIMITED: Recipe(
        (
            *(*ONE_PROCESS, "--default-prune-ratio", "0.5", "--prune-method", "random"),
            *("--prune-methods", "tome", "--trust-request-mm-kwargs", "--prune-access-log"),
            *("--max-num-batched-tokens", "256", "--prune-headers", "--tenant-header", "X-Tenant"),
            *("--allowed-origins", json.dumps([PAGE]), "--allowed-headers", '["Content-Type"]'),
            *(*SHADOW, "--min-agreement", str(LEAST_AGREEMENT), "--enable-lora"),
        ),
        IMPATIENT,
        {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_BSP_SCHEDULE_DELAY": "100"},
    ),
    # A server that computes two requests at once, lets six more wait, and prunes more the more wait.
    SMALL: Recipe(
        (
            *(*ONE_PROCESS, "--max-num-seqs", "2", "--max-num-queued-reqs", "8", "--shutdown-timeout", "1"),
            *("--prune-policy", "adaptive", "--adaptive-max-ratio", "0.8", "--max-prune-ratio", "0.6"),
            *("--adaptive-waiting-requests", "2"),
        )
    ),
    TENSOR: Recipe(("--tensor-parallel-size", "2", "--prune-methods", "visionzip,tome")),
    DATA: Recipe(
        (*ONE_PROCESS, "--data-parallel-size", "2", "--api-server-count", "2", "--prune-methods", "visionzip,tome")
    ),
}


class ServerPool:
    """Starts a server when it is first asked for, and keeps it until another is.

    The default server stays for as long as the pool, with one other beside it: each takes gigabytes.

    Args:
        checkpoint: what all servers but those of demo models serve.
        folder: where logs go.

    Attributes:
        config: the file that the server `LIMITED` follows.
    """

    def __init__(self, checkpoint: Path, folder: Path) -> None:
        self._checkpoint, self._folder = checkpoint, folder
        self._running: dict[str, Server] = {}
        self._stopping = ThreadPoolExecutor()
        self.config = Path(copy(CONFIG, folder))

    def get(self, name: str, arguments: Sequence[str] = ()) -> Server:
        """The running server of this name; `arguments` are added to its recipe when it is started."""
        if name not in self._running:
            self._stop({*self._running} - {DEFAULT})
            recipe = RECIPES[name]
            if name == LIMITED:
                adapter = adapt(self._checkpoint, ADAPTED, self._folder / ADAPTER)
                arguments = (*arguments, "--prune-config", str(self.config), "--lora-modules", f"{ADAPTER}={adapter}")
            recipe = Recipe((*recipe.arguments, *arguments), recipe.command, recipe.environment)
            self._running[name] = recipe.start(DEMOS.get(name, self._checkpoint), self._folder / f"{name}.log")
        return self._running[name]

    def take(self, name: str) -> Server:
        """A running server that the caller ends: whoever asks for it next gets another."""
        server = self.get(name)
        del self._running[name]
        return server

    def close(self) -> None:
        """Stop all servers."""
        self._stop({*self._running})
        self._stopping.shutdown()

    def _stop(self, names: set[str]) -> None:
        """Stop servers while others start: an engine takes seconds to end."""
        for name in names:
            self._stopping.submit(self._running.pop(name).close)
