"""How fast pruning is, held against stock vLLM and against the released code in the same run."""
