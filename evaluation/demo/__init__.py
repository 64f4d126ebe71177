"""Small models of our own, to try the server without a GPU or a download."""

from pathlib import Path

MODELS = Path(__file__).parent / "models"
"""A folder for each family."""
DEMO_MODEL = MODELS / "llava"
"""The model to serve where no other is named."""
DEMO_MODELS = {"shapes": DEMO_MODEL, "everyday": MODELS / "everyday"}
"""The model that answers questions about each world."""
