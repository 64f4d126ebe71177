"""What must hold of the demo model on the questions of `table1 --quick`: the one place to change with the model."""

AT_RATIO_ZERO = {
    "reading": 0.7,
    "spelling": 0.8,
    "colour": 0.6,
    "shape": 0.6,
    "relation": 0.4,
    "existence": 0.7,
    "counting": 0.3,
}
"""Least share of right answers of each task without pruning."""

GPRUNE_NOT_BELOW_RANDOM = ("fine-grained",)
"""Families on which evaluation/RESULTS.md claims that G-Prune is not below random at 50 %."""
