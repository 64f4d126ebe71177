"""What a PromQL expression names."""

import re

IDENTIFIER = r"(?<![\w.:$])[a-zA-Z_:][\w:]*"
KEYWORDS = {"and", "or", "unless", "bool", "offset"}


def metrics(expression: str) -> set[str]:
    """The metrics an expression names."""
    text = re.sub(r'"[^"]*"', "", expression)
    text = re.sub(r"\{[^}]*\}|\[[^]]*\]", " ", text)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", text)
    return set(re.findall(rf"{IDENTIFIER}\b(?!\s*\()", text)) - KEYWORDS


def matched_labels(expression: str) -> set[tuple[str, str]]:
    """Each metric with each label that it is filtered by."""
    selectors = re.findall(rf"({IDENTIFIER})\{{([^}}]*)\}}", expression)
    return {(metric, label) for metric, matchers in selectors for label in re.findall(r"(\w+)\s*[=!]", matchers)}


def without_thresholds(expression: str) -> str:
    """An alert's expression with its comparisons giving 0 or 1: it has data wherever what it compares has."""
    compared = re.sub(r"(==|!=|<=|>=|<|>)(?=\s)", r"\1 bool", expression)
    return compared.replace("absent(", "count(")
