"""What must hold of the demo model on the questions of `table1 --quick`: the one place to change with the model."""

AT_RATIO_ZERO = {
    "reading": 0.8,
    "spelling": 0.9,
    "colour": 0.6,
    "shape": 0.9,
    "relation": 0.8,
    "existence": 0.9,
    "counting": 0.8,
}
"""Least share of right answers of each task without pruning."""

GPRUNE_NOT_BELOW_RANDOM = ("fine-grained", "general", "hallucination")
"""Families on which evaluation/RESULTS.md claims that G-Prune is not below random at 50 %."""
