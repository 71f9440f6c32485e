"""What texts name exists: the files behind links and paths, and the version in the citation."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PATTERNS = ("*.md", "config/*.md", "docs/**/*.md")
PAGES = [path.relative_to(ROOT) for pattern in PATTERNS for path in sorted(ROOT.glob(pattern))]
FOLDERS = ("scripts/", "workflow/", "tests/", "docs/", "envs/", "config/", "benchmarks/")
PACKAGES = tuple(f"{path.parent.name}/" for path in ROOT.glob("scripts/overtile/*/__init__.py"))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_to_a_file_finds_it(page):
    links = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert [to for to in links if ":" not in to and not (ROOT / page.parent / to).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_file_of_the_project_that_a_page_names_is_there(page):
    """Names in backticks, from the root of the project or of the library."""
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`([\w./-]+\.(?:py|smk|tsv|toml|yaml|txt))`", text)
    found = {name: (ROOT / name).exists() for name in named if name.startswith(FOLDERS)}
    library = {name: (ROOT / "scripts" / "overtile" / name).exists() for name in named}
    found |= {name: is_there for name, is_there in library.items() if name.startswith(PACKAGES)}
    assert [name for name, is_there in found.items() if not is_there] == []


def test_the_citation_has_the_version_and_the_licence_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
