"""The commands of `python -m evaluation`, a file each."""
