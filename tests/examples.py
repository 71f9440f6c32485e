"""How many examples a property is tried with.

By default a quarter; all with `--hypothesis-profile thorough`, as `make test-all` has it.
"""

from hypothesis import settings

settings.register_profile("thorough", max_examples=100)
settings.register_profile("quick", max_examples=25)
settings.load_profile("quick")


def examples(count: int) -> int:
    """So many of `count` examples as the profile takes of 100, but at least four."""
    return max(4, count * settings().max_examples // 100)
