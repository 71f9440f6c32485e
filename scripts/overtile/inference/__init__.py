"""From a network to probabilities, class maps and objects."""
