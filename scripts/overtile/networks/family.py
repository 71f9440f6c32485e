"""What the project needs to know of a kind of network, and where each kind is found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar, cast

from overtile.errors import InputError
from overtile.networks.channels import Channel, class_channels
from overtile.registry import Registry
from overtile.settings.checks import shown
from overtile.settings.ranges import Axes, Channels, ClassCount

if TYPE_CHECKING:
    from torch import nn

FAMILIES = Registry({"unet": "overtile.networks.unet.family:UNET"})
"""By the name in the setting `family`."""

FIRST_FAMILY = "unet"
"""Of plans that name none: they were made when there was no other."""


@dataclass(frozen=True)
class Facts:
    """What is known of a training set when its network is decided.

    ndim: axes of the network, 2 or 3. in_channels: of the images. classes: how many, with the
    background. spacing: median pixel edges (z, y, x), relative to the finest of y and x.
    """

    ndim: Axes
    in_channels: int
    classes: int
    spacing: tuple[float, ...]


@dataclass(frozen=True)
class Decisions:
    """What a network is like: the key `architecture` of plan.yaml. Families add their own fields.

    ndim: axes, 2 or 3. in_channels: of the images. classes: how many.
    """

    ndim: Axes
    in_channels: Channels
    classes: ClassCount


@dataclass(frozen=True)
class Geometry:
    """Sizes of a network's input and output; each field has one value for each axis, (z) y x.

    margin_px: context that an output pixel needs at each side: what valid convolutions lose, or the
    receptive field of padded ones, whose networks cut it off (`blocks.crop`). So every output pixel
    saw true input only. stride: tiles start at its multiples. least_px: the smallest output; others
    are whole strides larger. is_exact: tiles equal the whole; else they are blended.
    """

    ndim: int
    margin_px: tuple[int, ...]
    stride: tuple[int, ...]
    least_px: tuple[int, ...]
    is_exact: bool = True

    def sizes_for(self, wanted: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Sizes of the smallest output that holds some pixels, and of the input for it.

        Parameters
        ----------
        wanted : sequence of int
            Edges in pixels, one for each axis.

        Returns
        -------
        input_px, output_px : tuple of int
            The output has `wanted` pixels or more along each axis, the input two margins more.

        Examples
        --------
        >>> Geometry(2, (92, 92), (16, 16), (4, 4)).sizes_for((380, 388))
        ((572, 572), (388, 388))
        """
        output = tuple(
            least + max(0, -(-(n - least) // step)) * step
            for n, least, step in zip(wanted, self.least_px, self.stride, strict=True)
        )
        return tuple(n + 2 * m for n, m in zip(output, self.margin_px, strict=True)), output

    @property
    def is_square(self) -> bool:
        """Whether y and x are treated alike, so that a turned tile is one as well."""
        sizes = (self.margin_px, self.stride, self.least_px)
        return all(size[-1] == size[-2] for size in sizes)


Wanted = TypeVar("Wanted", contravariant=True)
Own = TypeVar("Own", bound=Decisions)


class Decided(NamedTuple, Generic[Own]):
    """A network, and why it is so: texts for people, by field."""

    architecture: Own
    reasons: Mapping[str, str]


class Family(Protocol[Wanted, Own]):
    """A kind of network. One module each, with one such object, which `FAMILIES` names.

    Settings: a dataclass whose fields are those settings of a model that the family takes.
    Decisions: a frozen dataclass, a subclass of `Decisions`, of what plan.yaml holds.
    What follows `build` has a default that holds for every network.
    """

    Settings: ClassVar[type]
    Decisions: ClassVar[type]

    def decide(self, facts: Facts, wanted: Wanted) -> Decided[Own]:
        """Choose a network for a training set, with reasons."""
        ...

    def geometry(self, decided: Own) -> Geometry:
        """Sizes of its input and output."""
        ...

    def describe(self, decided: Own) -> str:
        """Say what it is like, in a few words for people. It counts in no digest of code."""
        ...

    def build(self, decided: Own) -> "nn.Module":
        """Make the network, its weights drawn by torch's generator.

        It takes (n, in_channels, *input_px) float32 and returns (n, channels, *output_px): logits
        of the classes first, then its other channels.
        """
        ...

    def check(self, decided: Own, where: str) -> None:
        """Raise InputError, one line, for values of a plan that do not fit together."""

    def channels(self, decided: Own, classes: Sequence[str]) -> tuple[Channel, ...]:
        """What it says of a pixel; classes: their names, which come first."""
        return class_channels(classes)

    def parameters(self, decided: Own) -> int:
        """How many numbers training fits."""
        from overtile.networks.measured import count_parameters

        return count_parameters(self, decided)

    def largest_map(self, decided: Own, output_px: Sequence[int]) -> int:
        """How many numbers the largest feature map of one tile holds."""
        from overtile.networks.measured import largest_map

        return largest_map(self, decided, tuple(output_px))

    def weight_bytes(self, decided: Own, value_bytes: int) -> int:
        """Bytes of the weights, of which each number takes value_bytes."""
        return self.parameters(decided) * value_bytes

    def pass_bytes(self, decided: Own, tile_px: Sequence[int], value_bytes: int) -> int:
        """The most bytes that the maps of one tile of output take at once in a forward pass."""
        from overtile.networks.measured import pass_bytes

        return pass_bytes(self, decided, tuple(tile_px), value_bytes)


AnyFamily = Family[Any, Any]


def load_family(name: object, where: str) -> AnyFamily:
    """The family of a name, imported now.

    Parameters
    ----------
    name : object
        As a setting or a plan has it.
    where : str
        The file that names it, for the message.

    Raises
    ------
    InputError
        If there is no such family: one line with all that there are.
    """
    if not isinstance(name, str) or name not in FAMILIES:
        raise InputError(f"{where}: family is {shown(name)}; allowed: {', '.join(FAMILIES)}")
    return cast(AnyFamily, FAMILIES.load(name))
