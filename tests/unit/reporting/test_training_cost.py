"""The page says with which code a model was trained, as far as that is known."""

import hashlib
import json
import re

import pytest

from overtile.errors import InputError
from overtile.planning.plan import Fold
from overtile.reporting.models import read_model
from overtile.settings.checks import to_plain
from overtile.stores.yaml_files import write_yaml
from tests.plans import small_plan

RUN = {
    "script": "train.py",
    "code": "0123456789abcdef",
    "started": "2026-02-03T04:05:06.789+00:00",
    "versions": {"python": "3.11", "torch": "2.13.0"},
}
EFFORT = {"seconds": 90.0, "device": "cpu", "precision": "fp32", "threads": 2, "torch": "2.13.0"}
BEST = {"epoch": 2, "learning_rate": 0.1, "loss": 0.4, "validation_dice": 0.75}
HISTORY = "epoch\tlearning_rate\tloss\tvalidation_dice\n1\t0.2\t0.5\t\n2\t0.1\t0.4\t0.75\n"


@pytest.fixture
def model(tmp_path):
    """The folder of a model of two folds, each of one finished training."""
    folder = tmp_path / "unet"
    folder.mkdir()
    plan = small_plan(folds=(Fold(("one",), ()),) * 2)
    write_yaml(folder / "plan.yaml", to_plain(plan))
    for number in range(2):
        path = folder / f"fold{number}"
        path.mkdir()
        (path / "best.safetensors").write_bytes(b"weights %d" % number)
        sha256 = hashlib.sha256(b"weights %d" % number).hexdigest()
        done = {"fold": number, "best_epoch": 2, "best": BEST, "best_sha256": sha256}
        (path / "fold.json").write_text(json.dumps(done))
        (path / "history.tsv").write_text(HISTORY)
        record(path)
    return folder


def record(fold, *runs, **effort):
    """Note runs of training as bound to what lies in a fold."""
    content = hashlib.sha256((fold / "fold.json").read_bytes()).hexdigest()
    bound = [{**run, "content": content} for run in runs or [RUN]]
    (fold / "effort.json").write_text(json.dumps({**EFFORT, "runs": bound, **effort}))


def facts(folder, code=RUN["code"]):
    return dict(read_model(folder, lambda *_: code).facts)


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_model_says_when_and_with_what_it_was_trained(model):
    found = facts(model)
    assert found["Trained with"] == "code 0123456789abcdef, torch 2.13.0, on 2026-02-03"
    assert found["Training time"] == "3 min for 2 folds"
    assert found["Trained on"] == "cpu, fp32, 2 threads, torch 2.13.0"
    assert "Code today" not in found


def test_a_model_says_that_the_code_differs_today_and_how_to_train_again(model):
    found = facts(model, "fedcba9876543210")
    assert found["Trained with"].startswith("code 0123456789abcdef")
    assert found["Code today"].startswith("fedcba9876543210. It differs")
    assert "kept as it is" in found["Code today"]
    assert "retrain_on_code_change: true" in found["Code today"]


def test_every_code_that_took_part_is_named(model):
    record(model / "fold1", RUN, RUN | {"code": "later", "started": "2026-05-01T00:00:00+00:00"})
    found = facts(model)
    assert found["Trained with"].split("; ") == [
        "code 0123456789abcdef, torch 2.13.0, on 2026-02-03",
        "code later, torch 2.13.0, on 2026-05-01",
    ]
    assert "Code today" in found


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "3", "{", "{}", '{"runs": 3, "seconds": "long"}', '{"runs": [3, null]}'),
        json.dumps(EFFORT | {"runs": [RUN], "seconds": -1}),  # bound to nothing
        None,
    ],
)
def test_what_is_not_recorded_is_said_and_no_report_is_refused_for_it(model, text):
    for number in range(2):
        path = model / f"fold{number}" / "effort.json"
        path.unlink()
        if text is not None:
            path.write_text(text)
    found = facts(model)
    assert found["Trained with"] == found["Training time"] == "not recorded"
    assert "Code today" not in found


ODD = [(key, value) for key in ("code", "started", "versions") for value in (None, 3, "", [], {})]


@pytest.mark.parametrize(("key", "value"), [*ODD, ("started", "yesterday"), ("versions", "2.13")])
def test_a_damaged_record_of_a_run_is_as_good_as_none(model, key, value):
    record(model / "fold1", RUN | {key: value})
    known = "code 0123456789abcdef, torch 2.13.0, on 2026-02-03"
    assert facts(model)["Trained with"] == f"{known}; not recorded of every fold"


def package(model, *sha256):
    (model / "package").mkdir(exist_ok=True)
    members = [{"file": "fold0.safetensors", "sha256": one} for one in sha256]
    (model / "package" / "plan.yaml").write_text(json.dumps({"members": members}))


def test_a_model_that_was_taken_over_was_trained_elsewhere(model):
    package(model, "0" * 64)
    found = read_model(model, lambda *_: "code")
    assert found.folds == ()
    assert dict(found.facts)["Trained"].startswith("elsewhere")
    assert not {"Trained with", "Training time"} & dict(found.facts).keys()


def test_folds_that_are_in_the_package_are_shown(model):
    shas = [json.loads((model / f"fold{n}/fold.json").read_text())["best_sha256"] for n in range(2)]
    package(model, *shas)
    assert len(read_model(model, lambda *_: "code").folds) == 2
    package(model, shas[1])
    assert [fold.number for fold in read_model(model, lambda *_: "code").folds] == [1]
    change(model / "fold0" / "fold.json", best_sha256="0" * 64)
    with pytest.raises(InputError, match=r"fold0/fold\.json: best_sha256 is not that of best"):
        read_model(model, lambda *_: "code")


def test_without_folds_and_package_nothing_was_trained_yet(tmp_path):
    write_yaml(tmp_path / "plan.yaml", to_plain(small_plan()))
    assert facts(tmp_path)["Trained"] == "not yet"


@pytest.mark.parametrize(
    "values",
    [
        {"best_epoch": 1},
        {"best_epoch": "2"},
        {"best_epoch": None},
        {"best": None},
        {"best": BEST | {"loss": 0.5}},
        {"best": BEST | {"validation_dice": None}},
        {"best": BEST | {"validation_dice": "0.75"}},
        {"best": BEST | {"validation_dice_cell": 0.1}},
        {"best_epoch": 3, "best": BEST | {"epoch": 3}},
        {"best_epoch": 0, "best": BEST | {"epoch": 0}},
    ],
)
def test_a_fold_whose_best_epoch_contradicts_its_curve_is_refused(model, values):
    change(model / "fold0" / "fold.json", **values)
    with pytest.raises(InputError, match=r"fold0/(fold\.json|history\.tsv): .*train again"):
        read_model(model, lambda *_: "code")


def test_a_class_that_the_best_epoch_did_not_measure_is_null_and_an_empty_cell(model):
    path = model / "fold0"
    change(path / "fold.json", best=BEST | {"validation_dice": None, "validation_dice_cell": None})
    text = HISTORY.replace("0.75", "").replace("dice\n", "dice\tvalidation_dice_cell\n")
    (path / "history.tsv").write_text(re.sub(r"(\d\t)\n", "\\1\t\n", text))
    assert read_model(model, lambda *_: "code").folds[0].best_epoch == 2


def test_a_finished_fold_without_its_curve_is_refused(model):
    (model / "fold0" / "history.tsv").unlink()
    with pytest.raises(InputError, match=r"history\.tsv: is missing, or"):
        read_model(model, lambda *_: "code")
