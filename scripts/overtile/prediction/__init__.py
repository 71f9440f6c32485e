"""A slide through a network: tiles, blending, background, resampling, memory."""
