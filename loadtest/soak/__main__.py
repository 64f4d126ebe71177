"""Soak a server: mixed traffic for an hour, after which nothing may be lost, no answer changed and no memory grown.

Without --url it starts a server of its own, whose caches are small, so that they are full before memory is judged. A
server of yours needs --prune-methods all --enable-prompt-tokens-details, and small caches too: --mm-processor-cache-gb
0.1 --num-gpu-blocks-override 256, and on a CPU ONEDNN_PRIMITIVE_CACHE_CAPACITY=32 in its environment. The key in
VLLM_API_KEY is sent to it. The exit status is 0 if the soak passed.
"""

import asyncio
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from evaluation.arguments import add_model, positive
from evaluation.failure import EvaluationError
from evaluation.server import serving
from loadtest.soak.client import Client
from loadtest.soak.memory import Memory, process_at
from loadtest.soak.probe import Probe
from loadtest.soak.report import write_report
from loadtest.soak.run import Soak
from loadtest.soak.traffic import Traffic
from loadtest.soak.verdict import Record

OWN_SERVER = (
    *("--prune-methods", "all", "--enable-prompt-tokens-details"),
    *("--mm-processor-cache-gb", "0.1", "--num-gpu-blocks-override", "256"),
)

SMALL_CACHES = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "32"}
"""On a CPU oneDNN keeps what it compiled for each of the last 1024 shapes: up to a gigabyte that is no leak."""


def main(words: Sequence[str] | None = None) -> int:
    """Run a soak; return the exit status."""
    arguments = parser().parse_args(words)
    try:
        if arguments.url:
            record = asyncio.run(soak(arguments.url.rstrip("/").removesuffix("/v1"), arguments))
        else:
            with serving([arguments.model, *OWN_SERVER], arguments.output / "server.log", SMALL_CACHES) as url:
                record = asyncio.run(soak(url, arguments))
    except EvaluationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    found = write_report(record, arguments.allowed_megabytes, arguments.output)
    print(*(found or ["passed"]), f"report: {arguments.output / 'soak.md'}", sep="\n")
    return 1 if found else 0


async def soak(url: str, arguments: Namespace) -> Record:
    """Soak the server at a URL."""
    main_process = psutil.Process(arguments.pid) if arguments.pid else process_at(url)
    async with Client(url, arguments.concurrency) as client:
        model = await client.model()
        traffic = Traffic(model, arguments.seed, arguments.most_images)
        run = Soak(
            client,
            traffic,
            Probe(client, model),
            Memory(main_process),
            arguments.minutes * 60,
            arguments.concurrency,
        )
        return await run.run()


def parser() -> ArgumentParser:
    """The command line."""
    whole = ArgumentParser("python -m loadtest.soak", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    whole.add_argument("--output", type=Path, required=True, help="folder for the report")
    whole.add_argument("--url", help="soak this server, which runs on this machine, instead of starting one")
    whole.add_argument("--pid", type=int, help="the server's main process, where it is not the one that listens")
    add_model(whole)
    whole.add_argument("--minutes", type=float, default=60, help="for how long (default: %(default)s)")
    whole.add_argument("--concurrency", type=positive, default=8, help="requests in flight (default: %(default)s)")
    whole.add_argument("--most-images", type=positive, default=4, help="in one prompt (default: %(default)s)")
    whole.add_argument("--seed", type=int, default=0, help="of the traffic (default: %(default)s)")
    whole.add_argument(
        "--allowed-megabytes",
        type=float,
        default=20,
        help="by which a process may grow beside its 2 %% (default: %(default)s)",
    )
    return whole


if __name__ == "__main__":
    sys.exit(main())
