"""From probabilities to objects: class map, components, stages, measurements."""
