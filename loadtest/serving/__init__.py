"""Serving with pruning against stock vLLM: the same requests to both, round by round, in one run."""
