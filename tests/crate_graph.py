"""How tests read a crate: entities by their id, and what a result was made from."""

import json
from pathlib import Path

Graph = dict[str, dict]


def read_graph(results: Path) -> Graph:
    """Entities of a result folder's crate by their id."""
    crate = json.loads((results / "ro-crate-metadata.json").read_text())
    return {entity["@id"]: entity for entity in crate["@graph"]}


def ids(value: dict | list[dict]) -> set[str]:
    """What a property refers to."""
    return {one["@id"] for one in (value if isinstance(value, list) else [value])}


def makers(graph: Graph) -> dict[str, dict]:
    """The action that made each result; of several the last."""
    return {
        result: entity
        for entity in graph.values()
        if entity["@type"] == "CreateAction" and entity["@id"] != "#workflow-run"
        for result in ids(entity["result"])
    }


def leads_back(graph: Graph, result: str) -> set[str]:
    """All that a result was made from, at any depth, and itself."""
    made_by = makers(graph)
    waiting, found = {result}, set()
    while waiting:
        path = waiting.pop()
        found.add(path)
        waiting |= ids(made_by[path].get("object", [])) - found if path in made_by else set()
    return found
