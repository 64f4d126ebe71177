"""The record of what vLLM 0.33 changed is what its sources say. Fetches two wheels of 330 MB."""

import json
import subprocess

from tests.support.tools import missing
from tests.unit.vllm_next import COMMAND, RECORD, compare


def test_the_record_is_what_the_sources_say() -> None:
    try:
        found = compare()
    except subprocess.CalledProcessError as error:
        missing(f"the package index cannot be reached: {error}")
    assert found == json.loads(RECORD.read_text()), f"Look at what changed, and record it with `{COMMAND}`"
