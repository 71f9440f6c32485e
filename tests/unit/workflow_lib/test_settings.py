"""Settings: every mistake is one line that names it; every default is filled in."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from overtile.code_digest import registered_names
from overtile.networks import family
from overtile.settings.checks import to_plain
from overtile.settings.model import Settings
from overtile_workflow.settings import check_families, check_settings, load_schema

ROOT = Path(__file__).resolve().parents[3]
SCHEMA_FILE = ROOT / "workflow" / "schemas" / "config.schema.yaml"
SHIPPED = [ROOT / "config" / "config.yaml", *sorted(ROOT.glob("config/examples/*/config.yaml"))]
LEAST = "{slides: s.tsv, labels: {kind: binary}, models: {unet: {}}}"


@pytest.fixture(scope="module")
def schema():
    return load_schema(SCHEMA_FILE)


def check(schema, text):
    return check_settings(yaml.safe_load(text), schema, "config.yaml")


def refusal(schema, text) -> str:
    with pytest.raises(ValueError) as error:
        check(schema, text)
    message = str(error.value)
    assert message.startswith("config.yaml: ")
    assert "\n" not in message
    return message


def test_the_schema_is_a_schema(schema):
    jsonschema.Draft202012Validator.check_schema(schema)


def properties(part, place="config"):
    """Every key of a schema: its place and what is said of it."""
    for name, value in part.get("properties", {}).items():
        yield f"{place}.{name}", value
        yield from properties(value, f"{place}.{name}")
    for name, value in part.get("$defs", {}).items():
        yield from properties(value, name)


def test_every_value_has_a_meaning_and_every_default_is_allowed(schema):
    found = dict(properties(schema))
    assert {"config.slides", "model.sigma_px", "model.augmentation.noise"} <= set(found)
    for place, part in found.items():
        assert part.get("type") == "object" or part.get("description"), place
        if part.get("type") == "object":
            assert part.get("additionalProperties") is not None, place
        elif "default" in part:
            jsonschema.validate(part["default"], part)


def test_scripts_and_workflow_have_the_same_defaults(schema):
    """A model set up by hand, with plan.py alone, is the one that the workflow would make."""
    model = dict(properties(schema["$defs"]["model"], ""))
    workflow = {place.removeprefix("."): part["default"] for place, part in model.items()}
    by_hand = to_plain(Settings())
    varied, by_hand["augmentation"] = by_hand["augmentation"], {}
    by_hand |= {f"augmentation.{name}": value for name, value in varied.items()}
    assert workflow.pop("package") is None  # by hand there is nothing to take over
    assert by_hand == workflow


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_shipped_configuration_is_valid(schema, path):
    values = check_settings(yaml.safe_load(path.read_text()), schema, str(path))
    assert values["models"]
    assert (ROOT / values["slides"]).is_file()


def test_the_least_configuration_gets_every_default(schema):
    values = check(schema, LEAST)
    found = dict(properties(schema))
    for name, value in values["models"]["unet"].items():
        assert value == found[f"model.{name}"]["default"] or name == "augmentation"
    model = {place for place in found if place.startswith("model.") and place.count(".") == 1}
    assert {f"model.{name}" for name in values["models"]["unet"]} == model
    assert values["models"]["unet"]["augmentation"]["rotation_degrees"] == 180
    assert values["prediction"]["memory_gb"] == 4
    assert values["evaluation"]["iou_threshold"] == 0.5
    assert values["labels"]["classes"] == ["background", "foreground"]


def test_values_that_are_given_stay(schema):
    values = check(schema, "{slides: s, labels: {kind: binary}, models: {m: {w0: 3, folds: 4}}}")
    assert (values["models"]["m"]["w0"], values["models"]["m"]["folds"]) == (3, 4)


def test_a_key_without_a_value_gets_its_default(schema):
    values = check(schema, "{slides: s, labels: {kind: binary}, models: {m: {epochs: }}}")
    assert values["models"]["m"]["epochs"] == 100


def test_two_models_do_not_share_their_defaults(schema):
    values = check(schema, "{slides: s, labels: {kind: binary}, models: {a: {}, b: {}}}")
    values["models"]["a"]["augmentation"]["noise"] = 9
    values["models"]["a"]["tile_px"].append(9)
    assert values["models"]["b"]["augmentation"]["noise"] == 0.05
    assert values["models"]["b"]["tile_px"] == [388, 388]


@pytest.mark.parametrize(
    ("typo", "nearest", "inside"),
    [
        ("{slide: s}", "slides", ""),
        ("{slides: s, lables: {}}", "labels", ""),
        ("{slides: s, labels: {kinds: binary}, models: {m: {}}}", "kind", "labels"),
        (LEAST.replace("unet: {}", "unet: {epoch: 3}"), "epochs", "models.unet"),
        (LEAST.replace("unet: {}", "unet: {sigma_pixels: 3}"), "sigma_px", "models.unet"),
        (
            LEAST.replace("unet: {}", "unet: {augmentation: {flip: true}}"),
            "flips",
            "models.unet.augmentation",
        ),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(schema, typo, nearest, inside):
    message = refusal(schema, typo)
    assert "unknown key" in message
    assert f"did you mean '{nearest}'?" in message
    assert inside in message


def test_an_unknown_key_like_no_other_lists_those_allowed(schema):
    message = refusal(schema, LEAST.replace("slides", "xyzzy: 1, slides"))
    assert "unknown key 'xyzzy'; allowed: title, licence, slides, data" in message


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("{labels: {kind: binary}, models: {m: {}}}", ["'slides' is missing"]),
        ("{slides: s, labels: {}, models: {m: {}}}", ["'kind' is missing in labels"]),
        (LEAST.replace("binary", "ternary"), ["labels.kind is 'ternary'", "instances", "meaning"]),
        (LEAST.replace("unet: {}", "unet: {epochs: many}"), ["models.unet.epochs is 'many'"]),
        (LEAST.replace("unet: {}", "unet: {epochs: 0}"), ["models.unet.epochs is 0", "minimum"]),
        (LEAST.replace("unet: {}", "unet: {epochs: true}"), ["epochs is True", "integer"]),
        (LEAST.replace("unet: {}", "unet: {dropout: 1}"), ["dropout is 1"]),
        (LEAST.replace("unet: {}", "unet: {tile_px: [9]}"), ["tile_px is [9]", "pixels"]),
        (LEAST.replace("unet: {}", "unet: {learning_rate: 0}"), ["learning_rate is 0"]),
        (LEAST.replace("{unet: {}}", "{}"), ["models is {}"]),
        (LEAST.replace("{unet: {}}", "[unet]"), ["models is ['unet']"]),
        (LEAST.replace("unet", "reference"), ["name 'reference' in models"]),
        (LEAST.replace("unet", "'a b'"), ["name 'a b' in models", "letters, digits"]),
        (LEAST.replace("unet", "../up"), ["name '../up' in models"]),
        (LEAST.replace("unet", "2024"), ["2024", "models"]),
        (LEAST.replace("binary", "binary, classes: [one]"), ["labels.classes is ['one']"]),
        (LEAST.replace("binary", "binary, classes: [a, a]"), ["labels.classes", "unique"]),
        ("[]", ["the whole is []"]),
        ("text", ["the whole is 'text'"]),
    ],
)
def test_a_wrong_value_is_refused_with_its_place_and_what_is_allowed(schema, text, parts):
    message = refusal(schema, text)
    for part in parts:
        assert part in message


def test_an_unknown_family_is_refused_before_anything_runs(schema):
    families = registered_names(family.__file__, "FAMILIES")
    assert families == list(family.FAMILIES)
    values = check(schema, LEAST.replace("unet: {}", "unet: {}, other: {family: unett}"))
    with pytest.raises(ValueError) as error:
        check_families(values["models"], families, "config.yaml")
    message = "config.yaml: models.other.family is 'unett'; did you mean 'unet'?"
    assert str(error.value) == message


def test_a_finished_model_has_the_family_that_its_plan_names(schema):
    taken = "unet: {family: unett, package: elsewhere/package}"
    values = check(schema, LEAST.replace("unet: {}", taken))
    check_families(values["models"], ["unet"], "config.yaml")
