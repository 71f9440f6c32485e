"""The one exception that a user is meant to read."""


class InputError(ValueError):
    """Bad input. The message is one line: which file, what was found, what is allowed, what to do."""
