"""Access log: a JSON line for each prompt with images."""

import json
import sys
import time
from dataclasses import asdict
from typing import TextIO

from gprune_server.observe.observation import Outcome, PromptRecord


class AccessLog:
    """Observer that writes a line when a prompt has been answered, has failed, or has lost its client.

    Args:
        output: stream to write to.
    """

    def __init__(self, output: TextIO = sys.stdout) -> None:
        self._output = output

    def started(self, prompt: PromptRecord) -> None:
        """Write nothing yet."""

    def ended(self, prompt: PromptRecord, outcome: Outcome | None) -> None:
        account = prompt.account
        line = {
            "event": "gprune_request",
            "time": round(time.time(), 3),
            "request_id": prompt.request_id,
            "images": account.images,
            "videos": account.videos,
            "visual_tokens_input": account.input,
            "visual_tokens_kept": account.kept,
            "prune_ratio": account.ratio,
            "visual_token_budget": account.budget,
            "ratio_source": account.source,
            "method": account.method,
            "tenant": account.tenant,
            "prompt_tokens": prompt.prompt_tokens,
            **({} if outcome is None else asdict(outcome)),
        }
        self._output.write(json.dumps(line) + "\n")
        self._output.flush()
