"""The one exception that a user is meant to read."""


class InputError(ValueError):
    """Bad input, told in one line: which file, what was found, what is allowed, what to do."""
