"""How well a segmentation agrees with its reference: counts that add up over blocks, and metrics.

A metric is one module with a `METRIC`, and its line in `registry.py`.
"""
