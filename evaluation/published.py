"""Figures of the G-Prune paper, arXiv 2501.02268, to compare with."""

BENCHMARKS = {
    "gqa": "GQA",
    "vqav2_val": "VQAv2",
    "mme": "MME",
    "pope": "POPE",
    "mmbench_en_dev": "MMB-EN",
    "chartqa": "ChartQA",
    "docvqa_val": "DocVQA",
    "textvqa_val": "TextVQA",
}
"""The paper's benchmarks by their names in lmms-eval, in the order of its table 1."""

TABLE_1 = {
    ("none", 0.0): (65.38, 82.70, 1587.72, 87.84, 72.08, 69.28, 78.22, 65.41),
    ("random", 0.5): (64.95, 81.61, 1605.43, 86.47, 70.27, 56.00, 61.54, 58.21),
    ("random", 0.7): (64.22, 80.17, 1576.33, 84.98, 69.42, 44.48, 48.42, 49.48),
    ("random", 0.9): (60.55, 74.23, 1475.07, 79.63, 61.77, 26.72, 27.59, 31.73),
    ("tome", 0.5): (65.07, 81.82, 1566.60, 87.56, 70.88, 68.20, 73.53, 59.07),
    ("tome", 0.7): (64.07, 80.56, 1564.36, 87.33, 68.21, 62.88, 65.28, 52.19),
    ("tome", 0.9): (59.72, 76.31, 1453.13, 84.29, 61.77, 41.04, 41.04, 38.36),
    ("fastv", 0.5): (65.11, 82.51, 1604.14, 87.51, 71.82, 67.60, 73.92, 65.15),
    ("fastv", 0.7): (64.34, 81.83, 1607.83, 87.08, 68.05, 62.80, 66.67, 63.08),
    ("fastv", 0.9): (60.20, 77.21, 1488.16, 83.01, 68.30, 39.56, 42.57, 53.53),
    ("gprune", 0.5): (65.34, 82.54, 1623.81, 87.76, 71.91, 67.72, 75.62, 65.17),
    ("gprune", 0.7): (64.37, 81.91, 1609.87, 87.69, 70.19, 65.04, 70.72, 63.87),
    ("gprune", 0.9): (61.40, 77.51, 1456.14, 84.49, 67.27, 51.72, 48.94, 59.31),
}
"""Table 1, by method and ratio: the scores of `BENCHMARKS`, in their order."""

TABLE_2 = {
    (False, False): (64.22, 84.98, 49.48, 66.23),
    (True, False): (64.30, 87.48, 53.63, 68.47),
    (False, True): (64.23, 87.46, 64.01, 71.90),
    (True, True): (64.37, 87.69, 64.05, 72.04),
}
"""Table 2, by whether scores start at the L2 norm and whether there is a graph: GQA, POPE, TextVQA and their mean."""

TABLE_3 = {
    0.3: (64.29, 87.48, 63.61, 71.79),
    0.5: (64.37, 87.69, 63.87, 71.98),
    0.7: (64.04, 87.78, 64.14, 71.99),
    0.9: (63.87, 87.22, 54.20, 68.43),
}
"""Table 3, by threshold with five iterations: as in table 2."""
