"""Selection methods, one file each. Importing the package registers them."""

from gprune_vllm.methods import divprune, gprune, l2norm, random, tome, visionzip

__all__ = ["divprune", "gprune", "l2norm", "random", "tome", "visionzip"]
