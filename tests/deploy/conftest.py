"""Which tests of deploy/ the suite runs."""

# These need tools that the set-up does not install yet (kubectl, checkov, hadolint, vLLM's router). To run one
# where they are, take its line out.
collect_ignore = [
    "test_image.py",
    "test_kubernetes.py",
    "test_scaling.py",
    "test_scaling_down.py",
    "test_scaling_nodes.py",
]
