"""A setting that came later stands nowhere as long as it is its default: nothing runs again."""

from copy import deepcopy
from pathlib import Path

import pytest

from overtile.settings.configuration import Configuration, Model
from overtile.settings.declared import Section, settings_of
from overtile_workflow.settings import (
    as_from_the_start,
    check_settings,
    later_flags,
    load_schema,
    without_later_defaults,
)

SCHEMA = load_schema(Path(__file__).parents[3] / "workflow/schemas/config.schema.yaml")
GIVEN = {"slides": "s.tsv", "labels": {"kind": "binary"}, "models": {"m": {"width": 8}}}


def properties(schema: dict, section: str) -> dict:
    part = schema["$defs"]["model"] if section == "model" else schema["properties"][section]
    return part["properties"]


def configuration(schema: dict, **changes: dict) -> dict:
    return check_settings(deepcopy(GIVEN) | deepcopy(changes), schema, "test")


def sections(of: type[Section]) -> list[type[Section]]:
    """A section and those inside it, but for the models."""
    inside = [one.value.kind for one in settings_of(of).values()]
    return [of, *(kind for kind in inside if issubclass(kind, Section))]


@pytest.fixture
def later():
    """A schema with one more setting everywhere."""
    schema = deepcopy(SCHEMA)
    for section in ("labels", "prediction", "segmentation", "evaluation", "model"):
        properties(schema, section)["much"] = {"type": "number", "default": 1}
    properties(schema, "model")["augmentation"]["properties"]["blur"] = {"default": 0}
    schema["properties"]["quiet"] = {"type": "boolean", "default": False}
    return schema


def test_one_more_setting_with_its_default_changes_nothing(later):
    before, now = configuration(SCHEMA), configuration(later)
    assert as_from_the_start(now, later) == as_from_the_start(before, SCHEMA)
    model = without_later_defaults("model", now["models"]["m"], later)
    assert model == without_later_defaults("model", before["models"]["m"], SCHEMA)
    assert all(later_flags(section, now[section], later) == [] for section in ("segmentation",))


def test_all_settings_of_the_first_archives_stand_where_they_stood():
    model = without_later_defaults("model", configuration(SCHEMA)["models"]["m"], SCHEMA)
    flat = {*model, *(f"augmentation.{name}" for name in model["augmentation"])}
    augmentation = settings_of(Model)["augmentation"].value.kind.FIRST
    assert flat == Model.FIRST | {f"augmentation.{name}" for name in augmentation}


def test_a_later_setting_that_is_no_default_is_a_flag_of_the_script(later):
    now = configuration(later, segmentation={"much": 2.5})
    assert later_flags("segmentation", now["segmentation"], later) == ["--much", "2.5"]
    assert as_from_the_start(now, later)["segmentation"]["much"] == 2.5


def test_switches_lists_and_zeros_become_flags(later):
    for name, part in {
        "fast_mode": {"type": "boolean", "default": False},
        "ways": {"type": "array", "default": None},
        "rest": {"default": 1},
    }.items():
        properties(later, "prediction")[name] = part
    now = configuration(later, prediction={"fast_mode": True, "ways": ["a", 2], "rest": 0})
    flags = later_flags("prediction", now["prediction"], later)
    assert sorted(flags) == sorted(["--fast-mode", "--ways", "a", "2", "--rest", "0"])


def test_a_later_setting_inside_another_one_counts_by_itself(later):
    now = configuration(later, models={"m": {"augmentation": {"blur": 2}}})
    model = without_later_defaults("model", now["models"]["m"], later)
    assert model["augmentation"]["blur"] == 2 and "much" not in model


@pytest.mark.parametrize("section", [*sections(Configuration), *sections(Model)])
def test_settings_from_the_start_are_still_settings(section):
    assert section.FIRST and set(settings_of(section)) >= section.FIRST


def test_a_section_that_came_later_stands_nowhere_while_all_in_it_are_defaults(later):
    later["properties"]["tune"] = {
        "from_the_start": [],
        "properties": {"steps": {"default": 3}},
        "default": {},
    }
    before, now = configuration(SCHEMA), configuration(later)
    assert now["tune"] == {"steps": 3}
    assert as_from_the_start(now, later) == as_from_the_start(before, SCHEMA)
    now = configuration(later, tune={"steps": 4})
    assert as_from_the_start(now, later)["tune"] == {"steps": 4}
