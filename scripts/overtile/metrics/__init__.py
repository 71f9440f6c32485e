"""Counts that add up over blocks, and the scores made of them."""
