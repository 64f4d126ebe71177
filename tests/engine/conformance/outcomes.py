"""vLLM's own tests, run, and what became of them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.engine.conformance.stage import environment, write_stage
from tests.engine.conformance.suite import Suite, matches
from tests.engine.conformance.upstream import upstream

HERE = Path(__file__).parent
TIME_LIMIT = 3600  # seconds
# Of pytest's plugins those that vLLM's tests use: importing the others takes seconds.
OPTIONS = ("-p", "plugin", "-p", "pytest_asyncio.plugin", "-p", "anyio.pytest_plugin")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a test.

    Attributes:
        test: its file, below vLLM's `tests`, and its name.
        result: passed, failed, skipped or left out.
        seconds: how long it took.
        reason: the end of its traceback, where it has one.
    """

    test: str
    result: str
    seconds: float
    reason: str

    @property
    def path(self) -> str:
        return self.test.partition("::")[0]

    @property
    def name(self) -> str:
        return self.test.partition("::")[2]


def run(suites: Sequence[Suite], folder: Path, thorough: bool) -> list[Outcome]:
    """Run suites in a process of their own, on a stage in a folder that is empty.

    Args:
        thorough: whether to run tests that do not apply as well, which must fail.

    Raises:
        RuntimeError: they were not run to the end.
    """
    write_stage(folder, suites, thorough)
    tests = upstream()
    with (folder / "pytest.log").open("wb") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "pytest",
                *OPTIONS,
                "-p",
                "no:cacheprovider",
                "--tb=short",
                "--quiet",
                *(f"tests/{path}" for path in by_folder([suite.path for suite in suites])),
            ],
            cwd=tests,
            env=process_environment(folder, (HERE, tests, tests / "site")),
            stdout=log,
            stderr=log,
        )
    with process:
        try:
            process.wait(TIME_LIMIT)
        finally:
            process.terminate()  # the plugin stops its server then; a process that has ended is left alone
    if process.returncode not in (0, 1):
        raise RuntimeError(f"vLLM's tests were not run:\n{(folder / 'pytest.log').read_text()[-4000:]}")
    return [Outcome(**json.loads(line)) for line in (folder / "outcomes.jsonl").read_text().splitlines()]


def by_folder(paths: Sequence[str]) -> list[str]:
    """Put the files of each folder together, at all levels, and leave them in order otherwise.

    pytest 9.1 loses sight of a folder's conftest.py whose files stand apart.
    """
    first: dict[str, int] = {}
    for place, path in enumerate(paths):
        for folder in (path, *map(str, Path(path).parents)):
            first.setdefault(folder, place)
    return sorted(
        paths, key=lambda path: [first[str(folder)] for folder in reversed(Path(path).parents)] + [first[path]]
    )


def process_environment(folder: Path, paths: Sequence[Path]) -> dict[str, str]:
    """This process's environment, with the plugin, the stage and nothing else of vLLM's or ours.

    The processor's tests prune: without, they would meet little but vLLM's own code. Servers have their flag. An engine
    compiles nothing, which takes longer than the tests, and computes on one thread, of which two wait for each other.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith(("GPRUNE_", "VLLM_", "PYTEST_"))}
    return {
        **own,
        **environment(folder),
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "TORCHDYNAMO_DISABLE": "1",
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_PLUGINS": "gprune",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "GPRUNE_DEFAULT_PRUNE_RATIO": "0.5",
        "GPRUNE_MEDIA_NETWORKS": "127.0.0.0/8",
    }


def problems(suite: Suite, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Where what became of a suite's tests differs from what the selection says."""
    own = [outcome for outcome in outcomes if outcome.path == suite.path]
    if not own:
        yield f"no test of {suite.path} was run"
    for pattern in suite.excluded:
        if not any(matches(outcome.name, pattern) for outcome in own):
            yield f"there is no test {pattern}"
    for outcome in own:
        excluded = suite.reason(outcome.name) is not None
        if outcome.result == "passed" and excluded:
            yield f"{outcome.name} passes, and is said not to apply"
        if outcome.result != "passed" and not excluded:
            yield f"{outcome.name} {outcome.result}:\n{outcome.reason}"
