"""FastAPI layer of gprune-vllm: pruning per request, with usage reports and metrics."""
