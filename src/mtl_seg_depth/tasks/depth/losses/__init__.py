"""Losses: one prediction and one target to a scalar, with masks instead of boolean indexing.

Shapes stay the same whatever is valid, and nothing waits for the device, so that a step can be captured.
"""
