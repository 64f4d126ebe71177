"""The FastAPI layer of gprune-vllm: requests that name a pruning ratio, usage and metrics that show what it saved."""
