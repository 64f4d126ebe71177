"""Draft models: what they propose is checked, and images are pruned all the same. For vLLM's second model runner."""

from pathlib import Path

from tests.support import photos
from tests.support.engine import ENVIRONMENT, engine
from tests.support.families import FAMILIES
from tests.support.families.draft import write_draft

RATIOS = (0.0, 0.5, 0.9)

if "VLLM_USE_V2_MODEL_RUNNER" in ENVIRONMENT:  # the first one is refused: tests/unit/gprune_vllm/adapter/test_config.py

    def test_drafts_of_a_model_change_nothing(tmp_path: Path) -> None:
        model = FAMILIES["qwen2_5_vl"].write(tmp_path / "tiny")
        drafts = {"method": "eagle", "model": str(write_draft(model, tmp_path / "draft")), "num_speculative_tokens": 2}
        with engine(model) as plain:
            expected = [plain.ask([photos.china()], ratio).token_ids for ratio in RATIOS]
        with engine(model, speculative_config=drafts, disable_log_stats=False) as drafting:
            assert [drafting.ask([photos.china()], ratio).token_ids for ratio in RATIOS] == expected
            assert drafting.metric("vllm:spec_decode_num_draft_tokens") > 0
