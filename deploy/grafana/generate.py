"""Write the dashboards, from the repository's root: `python -m deploy.grafana.generate [--check]`."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from difflib import unified_diff
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.comparison import comparison
from deploy.grafana.cost import cost
from deploy.grafana.overview import overview

DIRECTORY = Path(__file__).parent / "dashboards"
DASHBOARDS = {"overview.json": overview, "comparison.json": comparison, "cost.json": cost}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write them to `--directory`, or with `--check` print how far its files are from them."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a file is stale")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="default: %(default)s")
    options = parser.parse_args(arguments)
    texts = {options.directory / name: render(build()) for name, build in DASHBOARDS.items()}
    if options.check:
        return check(texts)
    options.directory.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text)
    return 0


def render(dashboard: Dashboard) -> str:
    """The JSON that Grafana provisions."""
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def check(texts: dict[Path, str]) -> int:
    """Print a diff for each stale file; 1 if there is any."""
    stale = 0
    for path, text in texts.items():
        found = path.read_text() if path.exists() else ""
        diff = list(unified_diff(found.splitlines(), text.splitlines(), str(path), "generated", lineterm=""))
        stale |= bool(diff)
        print(*diff, sep="\n", end="\n" if diff else "")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
