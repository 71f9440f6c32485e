"""Damaged files that the report reads: one line, or the same numbers. Never a traceback."""

import json
from dataclasses import replace

import pytest

from overtile.errors import InputError
from overtile.reporting.models import read_model
from tests.damage import damaged
from tests.unit.reporting.test_training_cost import RUN, model, package  # noqa: F401  (model is a fixture)


@pytest.mark.parametrize(
    "name",
    [
        *("plan.yaml", "package/plan.yaml"),
        *("fold0/fold.json", "fold0/history.tsv", "fold0/effort.json"),
    ],
)
def test_a_damaged_file_of_a_model_is_refused_or_read(model, name):  # noqa: F811
    package(
        model,
        *(json.loads((model / f"fold{n}/fold.json").read_text())["best_sha256"] for n in (0, 1)),
    )
    path = model / name
    content, before = path.read_bytes(), read_model(model, lambda *_: RUN["code"])
    read = 0
    for text in damaged(content, 60, 1):
        path.write_bytes(text)
        try:
            after = read_model(model, lambda *_: RUN["code"])
        except InputError as error:
            assert str(model) in str(error) and "\n" not in str(error)
            continue
        read += 1
        if name == "fold0/effort.json":
            assert replace(after, facts=(), folds=()) == replace(before, facts=(), folds=())
        if name == "fold0/fold.json":
            assert [fold.best_epoch for fold in after.folds] == [2, 2]
    assert read or name == "package/plan.yaml"
    path.unlink()
    if name == "plan.yaml":
        with pytest.raises(InputError, match=r"plan\.yaml: no such file"):
            read_model(model, lambda *_: RUN["code"])
