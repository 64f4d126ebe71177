"""What questions are put to: a server that runs already, or one that is started when the first question needs it."""

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx

from evaluation.failure import EvaluationError
from evaluation.fingerprint import code_digest, digest, model_digest
from evaluation.server import serving, tail

NO_CACHES = ("--no-enable-prefix-caching", "--mm-processor-cache-gb", "0")
"""Each question is computed whole, as if it were the only one about its picture: samples/s then compare."""


class Service(Protocol):
    """A server, and everything that its answers depend on.

    Attributes:
        checkpoint: folder or name of its model.
        model: that model's name in requests.
        fingerprint: names the model, the settings and the plugin's code.
    """

    @property
    def checkpoint(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    def running(self) -> AbstractContextManager[str]:
        """A context in which it runs. Gives its URL."""


@dataclass(frozen=True, slots=True)
class OwnService:
    """A server that is started for the measurement.

    Attributes:
        checkpoint: folder or name of the model.
        log: where the server's output goes.
        settings: pruning settings by the names of their flags, without dashes.
        arguments: further arguments of `gprune-serve`, as on a command line.
    """

    checkpoint: str
    log: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    arguments: str = ""

    @property
    def model(self) -> str:
        return "evaluated"

    @property
    def fingerprint(self) -> str:
        return digest(model_digest(self.checkpoint), dict(self.settings), self.arguments, code_digest())

    @contextmanager
    def running(self) -> Iterator[str]:
        flags = [part for name, value in self.settings.items() for part in (f"--{name}", value)]
        options = [*NO_CACHES, "--prune-methods", "all", *flags, *shlex.split(self.arguments)]
        with serving([self.checkpoint, "--served-model-name", self.model, *options], self.log) as url:
            try:
                yield url
            except EvaluationError as error:
                raise EvaluationError(f"{error}\nThe server's log {self.log} ends with\n{tail(self.log)}") from error


@dataclass(frozen=True, slots=True)
class RunningService:
    """A server that runs already, told by its model and by what `/metrics` says of its pruning.

    That does not name all settings: whoever changes others has to name another output folder.
    """

    url: str
    checkpoint: str
    model: str
    fingerprint: str

    @classmethod
    def at(cls, url: str) -> "RunningService":
        """The server at a URL, with or without `/v1`.

        Raises:
            EvaluationError: none answers there.
        """
        url = url.rstrip("/").removesuffix("/v1")
        try:
            served = httpx.get(f"{url}/v1/models", headers=authorization(), timeout=30).raise_for_status().json()
            metrics = httpx.get(f"{url}/metrics", timeout=30).raise_for_status().text.splitlines()
        except httpx.HTTPError as error:
            raise EvaluationError(f"no server answers at {url}: {error}") from error
        model = served["data"][0]
        information = sorted(line for line in metrics if line.startswith("gprune_info"))
        checkpoint = model["root"]
        return cls(url, checkpoint, model["id"], digest(model["id"], model_digest(checkpoint), information))

    @contextmanager
    def running(self) -> Iterator[str]:
        yield self.url


def authorization() -> dict[str, str]:
    """The header for a server that wants a key: that in `VLLM_API_KEY`, where vLLM's servers take theirs from."""
    key = os.environ.get("VLLM_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}
