"""vLLM-generic code: it takes a family and knows none."""
