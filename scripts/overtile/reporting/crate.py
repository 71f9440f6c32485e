"""A result folder as an RO-Crate: what lies in it, and which runs of which code made it.

Workflow Run Crate 0.5 (https://w3id.org/ro/wfrun/workflow/0.5), with one action per run of a step.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from rocrate.model import (
    ComputationalWorkflow,
    ComputerLanguage,
    ContextEntity,
    Dataset,
    File,
)
from rocrate.model.entity import Entity
from rocrate.rocrate import ROCrate

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
TERMS = {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}
SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"

FORMATS = {
    ".html": "text/html",
    ".json": "application/json",
    ".nii": "application/x-nifti",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".svs": "image/tiff",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".tsv": "text/tab-separated-values",
    ".yaml": "application/yaml",
}
"""Media types of files by their ending; `.gz` does not count."""


FAILED = "http://schema.org/FailedActionStatus"
UNFINISHED = "Killed, or ended by an error; what it had finished is part of the result"


@dataclass(frozen=True)
class Result:
    """One result and the runs that made it.

    path: relative to the result folder, with a slash at its end for a folder. name: for people.
    digest: SHA-256, of a store's pixels or a file's bytes. parts: other results that it was made
    from, by path. also: files that lie where the same step writes them, as (path, name, digest); a
    run is credited with those whose digest it recorded.
    """

    path: str
    name: str
    digest: str
    runs: Sequence[dict] = ()
    parts: Sequence[str] = ()
    also: Sequence[tuple[str, str, str]] = ()


class Crate:
    """Collects results and runs; `to_json` gives the metadata. Same results, same bytes.

    newest: by path, the digest of each raw file when it was last read
    (`provenance_graph.newest_inputs`).
    """

    def __init__(self, title: str, licence: str, newest: dict[str, str]):
        self._crate = ROCrate(version="1.1")
        self._crate.metadata.extra_terms.update(TERMS)
        self._root = self._crate.root_dataset
        self._root["name"] = title
        self._root["license"] = licence
        self._root["conformsTo"] = [
            self._context(url, "CreativeWork", name=name, version=url.rsplit("/", 1)[1])
            for url, name in PROFILES.items()
        ]
        self._crate.metadata["conformsTo"] = [
            {"@id": "https://w3id.org/ro/crate/1.1"},
            {"@id": "https://w3id.org/workflowhub/workflow-ro-crate/1.0"},
        ]
        self._times: list[str] = []
        self._actions: list[Entity] = []
        self._newest = newest
        self._raw: dict[tuple[str, str], Entity] = {}
        self._results: list[Entity] = []
        self._seen: dict[str, Entity] = {}
        self._tools: dict[str, Entity] = {}

    def add(self, result: Result) -> None:
        """Add a result, what else its runs wrote, and an action for each of these runs.

        `result.parts` must have been added before; those that were not are left out.
        """
        own = self._data(result.path, result.name, result.digest)
        also = [(digest, self._data(path, name, digest)) for path, name, digest in result.also]
        objects = [self._seen[part] for part in result.parts if part in self._seen]
        credited: dict[str, Entity] = {}
        for number, run in enumerate(result.runs):
            raw = [self._raw_file(path, sha) for path, sha in run.get("inputs", {}).items()]
            known = run.get("also", [])
            written = [own, *(entity for digest, entity in also if digest in known)]
            identifier = f"#run-{result.path}-{number}"
            self._add_action(identifier, result.name, run, objects + raw, written)
            credited |= {entity.id: entity for entity in written}
        self._results += credited.values()

    def add_workflow(
        self, snakefile: str, version: str, inputs: Iterable[tuple[str, str, str]], engine: str
    ) -> None:
        """Add the workflow and its run as a whole, after all results.

        snakefile: its path in the result folder. version: digest of its rules. inputs: settings
        and sheet, as (path, name, digest). engine: version of Snakemake.
        """
        url = {"@id": "https://snakemake.readthedocs.io"}
        known = {"name": "Snakemake", "url": url, "version": engine}
        language = self._crate.add(ComputerLanguage(self._crate, SNAKEMAKE, known))
        known = {
            "name": "overtile",
            "programmingLanguage": language,
            "version": version,
            "encodingFormat": "text/x-python",
            "conformsTo": {"@id": BIOSCHEMAS},
        }
        workflow = self._crate.add(
            ComputationalWorkflow(self._crate, dest_path=snakefile, properties=known)
        )
        self._root["mainEntity"] = workflow
        objects = [self._data(*given) for given in inputs] + list(self._raw.values())
        started, ended = self._span
        run = {
            "name": "All runs that led to these results",
            "description": "From the first step's start to the last one's end; the workflow "
            "computes what is new each time it is run",
            "startTime": started,
            "endTime": ended,
        }
        parts = (_plain(objects), _plain(self._results))
        self._actions.insert(0, self._crate.add_action(workflow, "#workflow-run", *parts, run))

    def to_json(self) -> dict:
        """The metadata, JSON-LD."""
        _, ended = self._span
        self._root["datePublished"] = ended
        self._root["description"] = (
            "Segmentations of slides, models and scores. The identifier of a store is the SHA-256 "
            "of its pixels and their meaning, the version of a step that of its code"
        )
        self._root["mentions"] = self._actions
        return self._crate.metadata.generate()

    @property
    def _span(self) -> tuple[str, str]:
        """First start and last end of all runs."""
        epoch = "1970-01-01T00:00:00.000+00:00"
        return min(self._times, default=epoch), max(self._times, default=epoch)

    def _context(self, identifier: str, kind: str, **properties: object) -> Entity:
        found = self._crate.get(identifier)
        if found:
            return found
        return self._crate.add(
            ContextEntity(self._crate, identifier, {"@type": kind, **properties})
        )

    def _data(self, path: str, name: str, digest: str) -> Entity:
        if path.endswith("/"):
            known = {"name": name, "identifier": f"sha256:{digest}"}
            entity = Dataset(self._crate, dest_path=path, properties=known)
        else:
            known = {"name": name, "sha256": digest, "encodingFormat": media_type(path)}
            entity = File(self._crate, dest_path=path, properties=known)
        self._seen[path] = self._crate.add(entity)
        return entity

    def _raw_file(self, path: str, digest: str) -> Entity:
        """A file outside the result folder, as it was when it was read."""
        if (path, digest) not in self._raw:
            name, kind, uri = Path(path).name, media_type(path), Path(path).as_uri()
            known = {"name": name, "sha256": digest, "encodingFormat": kind}
            if digest != self._newest[path]:
                uri = f"{uri}#sha256-{digest}"
            self._raw[path, digest] = self._crate.add(File(self._crate, uri, properties=known))
        return self._raw[path, digest]

    def _add_action(
        self, identifier: str, name: str, run: dict, objects: list[Entity], result: list[Entity]
    ) -> None:
        properties = {
            "name": f"{run['script']}: {name}",
            "description": run["command"],
            "startTime": run["started"],
            **_end(run),
        }
        self._times += [properties[time] for time in ("startTime", "endTime") if time in properties]
        self._actions.append(
            self._crate.add_action(
                self._tool(run), identifier, _plain(objects), _plain(result), properties
            )
        )

    def _tool(self, run: dict) -> Entity:
        """A step's script, with the digest of its code and the versions of what it uses."""
        needs = {name: str(value) for name, value in sorted(run["versions"].items())}
        environment = sha256(repr(needs).encode()).hexdigest()[:8]
        key = f"#{run['script']}-{run['code']}-{environment}"
        if key not in self._tools:
            self._tools[key] = self._context(
                key,
                "SoftwareApplication",
                name=run["script"],
                softwareVersion=run["code"],
                softwareRequirements=[self._library(*need) for need in needs.items()],
            )
        return self._tools[key]

    def _library(self, name: str, version: str) -> Entity:
        url = "https://www.python.org" if name == "python" else f"https://pypi.org/project/{name}/"
        return self._context(
            f"#{name}-{version}",
            "SoftwareApplication",
            name=name,
            softwareVersion=version,
            url={"@id": url},
        )


def _end(run: dict) -> dict[str, object]:
    """How a run ended, as properties of its action."""
    if "ended" in run:
        return {"endTime": run["ended"]}
    return {"actionStatus": FAILED, "error": UNFINISHED}


def media_type(path: str) -> str:
    """What a file is, by its ending; without a known one, bytes."""
    return FORMATS.get(Path(path.removesuffix(".gz")).suffix.lower(), "application/octet-stream")


def _plain(entities: list[Entity]) -> list[Entity] | Entity | None:
    """A list only where there is more than one, as RO-Crate asks."""
    return entities if len(entities) > 1 else next(iter(entities), None)
