"""One channel of a prediction, asked for by its name."""

import numpy as np

from overtile.errors import InputError
from overtile.networks.channels import channels_of
from overtile.stores.store import Store


class NamedChannel:
    """Values of a channel, (z, y, x) float32, in its unit; read box by box.

    Raises InputError, one line, if a store of predictions has no channel of this name.
    """

    def __init__(self, store: Store, name: str):
        channels = {c.name: (place, c) for place, c in enumerate(channels_of(store.attributes))}
        if name not in channels:
            raise InputError(
                f"{store.path}: has no channel {name!r}; it has {', '.join(channels)}; predict "
                "with a model that has it"
            )
        self._place, self.channel = channels[name]
        self._array, self.shape = store.array, store.shape

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
        """The values of a box of pixels."""
        return self._array[(self._place, *box)] * np.float32(self.channel.scale)
