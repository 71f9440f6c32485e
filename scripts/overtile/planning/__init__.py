"""What training will do, as decided from the training set: the typed plan."""
