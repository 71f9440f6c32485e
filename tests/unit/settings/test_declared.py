"""A setting that is added in one place is a key of the schema, a flag and a row of the page."""

import argparse
from dataclasses import dataclass
from typing import Annotated, Literal

import jsonschema
import pytest

from overtile import cli
from overtile.errors import InputError
from overtile.settings.checks import read_record, to_plain
from overtile.settings.configuration import Configuration, Model
from overtile.settings.declared import REQUIRED, Section, Value, setting, settings_of, value_of
from overtile.settings.flags import add_settings, settings_from
from overtile.settings.keys import key_values
from overtile.settings.ranges import Length, Pattern, Range
from overtile.settings.schema import section_schema
from overtile.settings.segmentation import Segmenting
from overtile.settings.tables import section_table
from overtile.settings.together import flag


@dataclass(frozen=True)
class Smoothing(Segmenting):
    """Segmentation with more settings."""

    smooth_px: Annotated[float, Range(0, 9, above=True)] = setting(
        2.0, "Outlines are smoothed over this length.", unit="px"
    )
    method: Literal["median", "mean"] = setting("median", "100% of a | b.")
    edges_px: Annotated[tuple[int, ...], Length(2, 3)] = setting((4, 5), "Edges.")
    is_fast: bool = setting(False, "Faster, less exact.")


@dataclass(frozen=True)
class Needing(Section):
    """Settings without defaults."""

    kind: Literal["a", "b"] = setting(REQUIRED, "Kind.")
    code: Annotated[str, Pattern("^x+$", "x only")] | None = setting(None, "Code.")


def parsed(section, *words, **how):
    parser = cli.new_parser("step.py", "A step.")
    add_settings(parser, section, **how)
    return parser.parse_args(words)


def test_a_new_setting_is_in_the_schema_with_type_range_unit_and_default():
    properties = section_schema(Smoothing)["properties"]
    assert properties["smooth_px"] == {
        "description": "Outlines are smoothed over this length. Unit: px.",
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 9,
        "default": 2,
    }
    # Commands and keys hold it: 2.0 would make others.
    assert repr(properties["smooth_px"]["default"]) == "2"
    assert properties["method"]["enum"] == ["median", "mean"]
    assert properties["edges_px"] | {"minItems": 2, "maxItems": 3} == properties["edges_px"]
    assert properties["is_fast"]["type"] == "boolean"
    assert set(section_schema(Smoothing)["from_the_start"]) == Segmenting.FIRST
    assert properties.keys() - section_schema(Segmenting)["properties"].keys() == {
        *("smooth_px", "method", "edges_px", "is_fast")
    }


def test_a_new_setting_is_a_flag_and_comes_back_typed():
    assert settings_from(parsed(Smoothing), Smoothing) == Smoothing()
    left_out = settings_from(parsed(Smoothing, are_optional=True), Smoothing)
    assert left_out == Smoothing()
    words = ("--smooth-px", "3", "--method", "mean", "--edges-px", "1", "2", "--is-fast")
    found = settings_from(parsed(Smoothing, *words, "--seed-threshold", "0.5"), Smoothing)
    assert found == Smoothing(None, 0.5, 0, 16, 0, 0, 0, None, 3.0, "mean", (1, 2), True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--smooth-px", "0"), "argument --smooth-px: is 0; allowed: above 0, up to 9"),
        (("--smooth-px", "nan"), "argument --smooth-px: is nan; allowed: above 0, up to 9"),
        (("--smooth-px", "wide"), "argument --smooth-px: invalid float value: 'wide'"),
        (("--method", "max"), "argument --method: invalid choice: 'max'"),
        (("--edges-px", "1", "-2"), "argument --edges-px: is -2; allowed: 0 and above"),
        (("--threshold", "1"), "argument --threshold: is 1; allowed: above 0, below 1"),
        (("--grow-px", "2.5"), "argument --grow-px: invalid int value: '2.5'"),
    ],
)
def test_a_flag_out_of_range_is_a_wrong_command_line(words, message, capsys):
    with pytest.raises(SystemExit) as end:
        parsed(Smoothing, *words)
    assert end.value.code == 2 and message in capsys.readouterr().err


def test_help_tells_meaning_unit_and_default():
    parser = cli.new_parser("step.py", "A step.")
    add_settings(parser, Smoothing)
    text = " ".join(parser.format_help().split())
    assert "Outlines are smoothed over this length. Unit: px. (default: 2.0)" in text
    assert "{median,mean} 100% of a | b. (default: median)" in text


def test_a_new_setting_is_a_row_of_the_page():
    lines = section_table(Smoothing).splitlines()
    row = "| `smooth_px` | Outlines are smoothed over this length. | px | above 0, up to 9 | 2 |"
    assert row in lines
    assert "| `method` | 100% of a \\| b. |  | median, mean | median |" in lines
    assert "| `edges_px` | Edges. |  | 0 and above | [4, 5] |" in lines
    assert lines[0] == "Segmentation with more settings."


def test_a_new_setting_changes_no_key_while_it_is_its_default():
    assert key_values(Smoothing(0.4)) == key_values(Segmenting(0.4))
    assert key_values(Smoothing(smooth_px=3))["smooth_px"] == 3


def test_a_setting_without_a_default_is_required_but_beside_another_flag(capsys):
    with pytest.raises(SystemExit):
        parsed(Needing)
    assert "required: --kind" in capsys.readouterr().err
    assert parsed(Needing, are_optional=True) == argparse.Namespace(kind=None, code=None)
    assert section_schema(Needing)["required"] == ["kind"]
    assert "| `kind` | Kind. |  | a, b | required |" in section_table(Needing)


def test_some_settings_only_a_narrower_range_and_an_older_flag():
    parser = cli.new_parser("step.py", "A step.")
    add_settings(parser, Smoothing, "smooth_px", limit=Range(1, 2), also="--smooth")
    assert parser.parse_args(["--smooth", "2"]) == argparse.Namespace(smooth_px=2.0)
    for words in (["--smooth-px", "3"], ["--method", "mean"]):
        with pytest.raises(SystemExit):
            parser.parse_args(words)


def test_a_switch_that_is_on_by_default_is_refused_as_a_flag():
    @dataclass(frozen=True)
    class On(Section):
        is_on: bool = setting(True, "On.")

    with pytest.raises(TypeError, match="is_on: is on by default"):
        parsed(On)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (int, Value(int, limit=Range())),
        (str, Value(str)),
        (bool | None, Value(bool, is_optional=True)),
        (Annotated[int, Range(1)] | None, Value(int, True, Range(1))),
        (Literal[2, 3], Value(int, choices=(2, 3))),
        (
            tuple[tuple[Literal[1, 3], ...], ...] | None,
            Value(tuple, True, items=Value(tuple, items=Value(int, choices=(1, 3)))),
        ),
        (
            Annotated[dict[str, float], Length(1)],
            Value(dict, length=Length(1), names=Value(str), items=Value(float, limit=Range())),
        ),
    ],
    ids=str,
)
def test_a_type_says_what_is_allowed(hint, value):
    assert value_of(hint) == value


def sections(of):
    inside = [one.value.kind for one in settings_of(of).values()]
    return [of, *(kind for kind in inside if issubclass(kind, Section))]


EVERY = [
    (section, one)
    for section in (*sections(Configuration), *sections(Model))
    for one in settings_of(section).values()
]


@pytest.mark.parametrize(("section", "one"), EVERY, ids=lambda value: getattr(value, "name", ""))
def test_every_setting_has_a_help_and_a_default_that_is_allowed(section, one):
    assert one.help.endswith(".") and "  " not in one.help
    if not one.is_required:
        schema = section_schema(section)["properties"][one.name]
        jsonschema.validate(schema["default"], schema)


def test_a_file_is_held_to_what_is_declared():
    assert read_record(Smoothing, {"smooth_px": 3, "edges_px": [1, 2]}, "f") == Smoothing(
        smooth_px=3, edges_px=(1, 2)
    )
    for (name, value), message in {
        ("edges_px", (1,)): "f: edges_px has 1 values; allowed: 2 to 3",
        ("smooth_px", 0): "f: smooth_px is 0; allowed: above 0, up to 9",
        ("method", "max"): r"f: method is 'max'; allowed: \('median', 'mean'\)",
        ("edges_px", 3): "f: edges_px is 3, not a list; correct it",
        ("smoth_px", 3): "f: unknown key 'smoth_px'; did you mean 'smooth_px'?",
    }.items():
        with pytest.raises(InputError, match=message):
            read_record(Smoothing, {name: to_plain(value)}, "f")


def test_flags_bear_the_name_of_their_setting():
    assert flag("max_hole_px") == "--max-hole-px"
