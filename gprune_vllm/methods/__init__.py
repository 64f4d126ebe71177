"""Selection methods, one file each. Importing the package registers them."""

from gprune_vllm.methods import (
    divprune,
    gprune,
    gprune_blend,
    gprune_nms,
    grid,
    l2norm,
    random,
    scope,
    tome,
    visionzip,
)

__all__ = [
    "divprune",
    "gprune",
    "gprune_blend",
    "gprune_nms",
    "grid",
    "l2norm",
    "random",
    "scope",
    "tome",
    "visionzip",
]
