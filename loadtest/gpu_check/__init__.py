"""One command that measures on a GPU whatever can be measured there: see `python -m loadtest.gpu_check --help`."""
