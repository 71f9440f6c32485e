"""How checks of the project's own files tell what they found."""

import sys
from collections.abc import Sequence


def tell(what: str, faults: Sequence[str]) -> int:
    """Print all faults, and how many there are of what was checked; return the exit code."""
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{what}: {len(faults)} faults")
    return 1 if faults else 0
