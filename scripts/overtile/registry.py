"""Things that are chosen by name, and imported only when they are.

What is not chosen does not count in the digest of a step's code (`overtile.code_digest`): one more
entry, or a change in another one's module, makes no result run again.
"""

from collections.abc import Collection, Iterator, Mapping
from importlib import import_module
from typing import Any


class Registry(Mapping[str, str]):
    """Names, and where what they stand for is found: "package.module:attribute".

    always: names whose code counts in digests although nobody chooses them.
    """

    def __init__(self, places: dict[str, str], always: Collection[str] = ()):
        self._places, self.always = places, tuple(always)

    def __getitem__(self, name: str) -> str:
        return self._places[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def load(self, name: str) -> Any:
        """What a name stands for; raises KeyError for one that is not there."""
        module, attribute = self._places[name].split(":")
        return getattr(import_module(module), attribute)
