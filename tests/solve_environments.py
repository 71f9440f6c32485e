"""Ask a channel whether it still offers the conda environments: needs it to be reachable.

    python tests/solve_environments.py [CHANNEL]

Run by `make solve`. Solves each envs/*.yaml for Linux, those with CUDA for the oldest driver that
is promised and for one of the environment's own CUDA, and installs nothing. Ends with exit code 1
and one line per environment and driver for which it cannot be had, or with 2 where the channel
cannot be reached and nothing was checked.
"""

import asyncio
import os
import sys
from pathlib import Path

import yaml
from rattler import BuildString, GenericVirtualPackage, MatchSpec, PackageName, Version, solve
from rattler.exceptions import GatewayError, SolverError

ROOT = Path(__file__).resolve().parents[1]
PLATFORMS = ["linux-64", "noarch"]
UNREACHABLE = 2
MACHINE = {"__unix": "0", "__linux": "5.14", "__glibc": "2.28", "__archspec": "1"}
OLDEST_CUDA = "12.0"
"""That of driver 525, the oldest that docs/environments.md promises."""


def read_environment(path: Path) -> dict[str, MatchSpec]:
    """The packages of an environment's file by name, read as conda does."""
    specs = [MatchSpec(text) for text in yaml.safe_load(path.read_text())["dependencies"]]
    return {spec.name.normalized: spec for spec in specs}


def version(spec: MatchSpec) -> str:
    """The version pinned, without the operator."""
    return str(spec.version).removeprefix("==")


def machines(packages: dict[str, MatchSpec]) -> list[dict[str, str]]:
    """What conda would see, by names of virtual packages, on the machines to solve for."""
    if "cuda-version" not in packages:
        return [MACHINE]
    drivers = dict.fromkeys((OLDEST_CUDA, version(packages["cuda-version"])))
    return [MACHINE | {"__cuda": driver} for driver in drivers]


async def builds(
    packages: dict[str, MatchSpec], channel: str, machine: dict[str, str]
) -> dict[str, str]:
    """Name and build string of every package that a channel gives for an environment."""
    virtual = [
        GenericVirtualPackage(PackageName(name), Version(version), BuildString("0"))
        for name, version in machine.items()
    ]
    specs = list(packages.values())
    records = await solve([channel], specs, platforms=PLATFORMS, virtual_packages=virtual)
    return {record.name.normalized: str(record.build) for record in records}


def main(channel: str = "conda-forge") -> int:
    """Print what comes of each environment; return the exit code."""
    faults = 0
    environments = {file: read_environment(file) for file in sorted(ROOT.glob("envs/*.yaml"))}
    tried = [(file, machine) for file in environments for machine in machines(environments[file])]
    for file, machine in tried:
        cuda = machine.get("__cuda")
        driver = f"a driver with CUDA {cuda}" if cuda else "no driver"
        where = f"{file.name}: with {driver}"
        try:
            found = asyncio.run(builds(environments[file], channel, machine))
        except GatewayError as error:
            print(
                f"{channel}: cannot be reached from here ({one_line(error)}); NOTHING WAS CHECKED "
                f"of {where}: whether its builds exist is not known. Run make solve elsewhere",
                file=sys.stderr,
            )
            return UNREACHABLE
        except SolverError as error:
            faults += 1
            print(f"{where}: {one_line(error)}", file=sys.stderr)
        else:
            print(f"{where}: {len(found)} packages, pytorch {found['pytorch']}")
    return 1 if faults else 0


def one_line(error: Exception) -> str:
    """The message of an exception without line breaks."""
    return " ".join(str(error).split())


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    sys.stdout.flush()
    # At once: rattler's threads may still live, and crash an interpreter that takes itself apart.
    os._exit(code)
