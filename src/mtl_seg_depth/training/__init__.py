"""The loop, one optimiser step, and what both are made of."""

from mtl_seg_depth.training.learning_rates import Constant, Cosine, OneCycle, Poly, Stairs
from mtl_seg_depth.training.optimizers import adam, adamw, sgd

__all__ = ["Constant", "Cosine", "OneCycle", "Poly", "Stairs", "adam", "adamw", "sgd"]
