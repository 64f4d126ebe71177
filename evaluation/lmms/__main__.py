"""Run lmms-eval with the backend `gprune` added: `python -m evaluation.lmms --model gprune` in the repository."""

from lmms_eval.cli.dispatch import main  # type: ignore[import-not-found]
from lmms_eval.models import MODEL_REGISTRY_V2  # type: ignore[import-not-found]
from lmms_eval.models.registry_v2 import ModelManifest  # type: ignore[import-not-found]

MODEL_REGISTRY_V2.register_manifest(
    ModelManifest(model_id="gprune", simple_class_path="evaluation.lmms.backend.GPruneServer")
)
main()
