"""Defaults of selecting. Those of G-Prune's score are the ones of the authors' released code (arXiv 2501.02268)."""

METHOD = "gprune-blend"
"""Worse than G-Prune at nothing by more than chance, and better at counting: evaluation/RESULTS.md."""

THRESHOLD = 0.5
"""Similarity from which two tokens are joined by an edge."""
TEMPERATURE = 0.03
"""Temperature of the softmax over edges."""
ITERATIONS = 5
"""How often scores are propagated."""
