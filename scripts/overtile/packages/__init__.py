"""Models to share: all that prediction needs, in one folder."""
