"""The operator's choices in force, which follow their file."""

import asyncio
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from vllm.logger import init_logger

from gprune_server.choosing.choices import Choices
from gprune_server.choosing.config_metrics import ConfigMetrics

logger = init_logger(f"vllm.{__name__}")

INTERVAL = 2.0
"""Seconds between looks at the file. Content is compared: a mounted ConfigMap changes by a symbolic link."""


class LiveChoices:
    """Choices in force.

    Attributes:
        current: the choices in force.
    """

    def __init__(self, current: Choices) -> None:
        self.current = current
        self._reactions: list[Callable[[Choices], None]] = []

    def subscribe(self, react: Callable[[Choices], None]) -> None:
        """Call a function with the choices in force now, and whenever they change."""
        react(self.current)
        self._reactions.append(react)

    def put(self, choices: Choices) -> None:
        """Put choices in force."""
        self.current = choices
        for react in self._reactions:
            react(choices)


class ChoicesFile(LiveChoices):
    """Choices that are re-read when their file changes. What is invalid changes nothing.

    Args:
        file: the file.
        load: validates the file's content as a whole, and raises a ValueError.
        metrics: exposes which content is in force.

    Raises:
        ValueError: the file cannot be read or is invalid.
    """

    def __init__(self, file: Path, load: Callable[[bytes], Choices], metrics: ConfigMetrics) -> None:
        self._file, self._load, self._metrics = file, load, metrics
        self._generation = 0
        self._watch: asyncio.Task[None] | None = None
        text = self._read()
        super().__init__(load(text))
        self._apply(self.current, sha256(text).digest())

    def start(self) -> None:
        """Watch the file. Needs a running event loop."""
        self._watch = asyncio.create_task(self._keep_watching())

    async def refresh(self) -> None:
        """Read the file again. If it holds something new and valid, put it in force."""
        try:
            text = await asyncio.to_thread(self._read)
        except ValueError as error:
            self._reject(b"", error)
            return
        digest = sha256(text).digest()
        if digest == self._seen:
            return
        try:
            choices = await asyncio.to_thread(self._load, text)
        except ValueError as error:
            self._reject(digest, error)
        else:
            self._apply(choices, digest)

    def _read(self) -> bytes:
        try:
            return self._file.read_bytes()
        except OSError as error:
            raise ValueError(f"The file cannot be read: {error.strerror}.") from error

    def _apply(self, choices: Choices, digest: bytes) -> None:
        self._seen = digest
        self._generation += 1
        self.put(choices)
        self._metrics.applied(self._generation, digest)
        logger.info("--prune-config %s is in force: generation %d.", self._file, self._generation)

    def _reject(self, digest: bytes, error: ValueError) -> None:
        if digest != self._seen:
            logger.error("--prune-config %s changes nothing: %s", self._file, error)
        self._seen = digest
        self._metrics.rejected()

    async def _keep_watching(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                await self.refresh()
            except Exception:  # a defect of ours must not end the watch
                logger.exception("--prune-config %s could not be followed", self._file)
