"""From a training set to network weights."""
