"""Settings as they stand in keys of results."""

from dataclasses import asdict


def key_values(settings: object) -> dict:
    """Values of a dataclass of settings, without later ones that are their defaults.

    Its attribute FIRST names the settings that results have in their keys from the start, in any
    case. One more setting changes no key. Who changes the default of a later one adds its name to
    FIRST: results that were made by the old default must not pass for new ones.
    """
    kind = type(settings)
    defaults = kind()
    return {
        name: value
        for name, value in asdict(settings).items()
        if name in kind.FIRST or value != getattr(defaults, name)
    }
