"""Networks: families, what all of them share, and where they run."""
