"""Ask a channel whether it still offers the conda environments: needs it to be reachable.

    python tests/solve_environments.py [CHANNEL]

Run by `make solve`. Solves each envs/*.yaml for Linux as on a machine whose driver has that CUDA,
and installs nothing. Ends with exit code 1 and one line per environment that cannot be had, or with
2 where the channel cannot be reached and nothing was checked.
"""

import asyncio
import sys
from pathlib import Path

from lint_environments import Environment, read_environment
from rattler import BuildString, GenericVirtualPackage, PackageName, Version, solve
from rattler.exceptions import GatewayError, SolverError

ROOT = Path(__file__).resolve().parents[1]
PLATFORMS = ["linux-64", "noarch"]
UNREACHABLE = 2
MACHINE = {"__unix": "0", "__linux": "5.14", "__glibc": "2.28", "__archspec": "1"}


async def builds(environment: Environment, channel: str) -> dict[str, str]:
    """Name and build string of every package that a channel gives for an environment."""
    has_cuda = "cuda-version" in environment.packages
    machine = MACHINE | ({"__cuda": environment.version("cuda-version")} if has_cuda else {})
    virtual = [
        GenericVirtualPackage(PackageName(name), Version(version), BuildString("0"))
        for name, version in machine.items()
    ]
    specs = list(environment.packages.values())
    records = await solve([channel], specs, platforms=PLATFORMS, virtual_packages=virtual)
    return {record.name.normalized: str(record.build) for record in records}


def main(channel: str = "conda-forge") -> int:
    """Print what comes of each environment; return the exit code."""
    faults = 0
    for path in sorted((ROOT / "envs").glob("*.yaml")):
        try:
            found = asyncio.run(builds(read_environment(path), channel))
        except GatewayError as error:
            print(
                f"{channel}: cannot be reached from here ({one_line(error)}); NOTHING WAS CHECKED "
                f"of {path.name}: whether its builds exist is not known. Run make solve elsewhere",
                file=sys.stderr,
            )
            return UNREACHABLE
        except SolverError as error:
            faults += 1
            print(f"{path.name}: {one_line(error)}", file=sys.stderr)
        else:
            print(f"{path.name}: {len(found)} packages, pytorch {found['pytorch']}")
    return 1 if faults else 0


def one_line(error: Exception) -> str:
    """The message of an exception without line breaks."""
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
