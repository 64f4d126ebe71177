"""Defaults of G-Prune's score, as the authors' released code sets them (arXiv 2501.02268)."""

THRESHOLD = 0.5
"""Similarity from which two tokens are joined by an edge."""
TEMPERATURE = 0.03
"""Temperature of the softmax over edges."""
ITERATIONS = 5
"""How often scores are propagated."""
