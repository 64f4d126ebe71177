"""A file of vLLM's own tests, and reasons why tests do not apply."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a test does not apply. Those that are `run` in the nightly tests must fail, or the reason does not hold."""

    name: str
    text: str
    run: bool = True


MODEL = Reason("model", "expects the words, tokens or chat template of the model it was written for")
SERVER = Reason("server", "expects a server of its own: one that has counted nothing yet, or other flags")
TASK = Reason("task", "another task, e.g. embeddings, speech or video")
SAFER = Reason("safer", "expects what this server refuses on purpose, or words differently: [security.md](security.md)")
VLLM = Reason("vLLM", "vLLM skips it, or it fails without the plugin as well")
SEED = Reason("seed", "seeds an answer, which is refused on a CPU: [security.md](security.md)")
SLOW = Reason("slow", "never ends on a test's model, or downloads another one", run=False)
QUICK = Reason("quick", "looks at requests under way, which a test's model may have answered by then", run=False)
REASONS = (MODEL, SERVER, TASK, SAFER, SEED, VLLM, SLOW, QUICK)


@dataclass(frozen=True, slots=True)
class Suite:
    """A file of vLLM's tests.

    Attributes:
        path: below vLLM's `tests`.
        server: which of ours its tests use, if any.
        excluded: why tests do not apply, by name or, where it has brackets, by name and parameters; `*` is anything.
        moved: tests that use another server than the rest, likewise.
        longer: run in the nightly tests only.
        first: its tests count what a server has done, and come before those that make it do something.
        only: the tests of ours among those of many models, likewise.
    """

    path: str
    server: str = ""
    excluded: Mapping[str, Reason] = field(default_factory=dict)
    moved: Mapping[str, str] = field(default_factory=dict)
    longer: bool = False
    first: bool = False
    only: str = "*"

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "Suite":
        """Undo `dataclasses.asdict`."""
        excluded = {pattern: Reason(**reason) for pattern, reason in fields["excluded"].items()}
        return cls(**{**fields, "excluded": excluded})

    def reason(self, test: str) -> Reason | None:
        """Why a test does not apply, or None."""
        return next((reason for pattern, reason in self.excluded.items() if matches(test, pattern)), None)

    def server_of(self, test: str) -> str:
        """The server that a test uses."""
        return next((server for pattern, server in self.moved.items() if matches(test, pattern)), self.server)


def matches(test: str, pattern: str) -> bool:
    """Whether a pattern is for a test: `name[parameters]`, or `Class::name[parameters]`."""
    if "[" not in pattern:
        return fnmatchcase(test.partition("[")[0], pattern)
    return fnmatchcase(test, pattern.replace("[", "[[]"))
