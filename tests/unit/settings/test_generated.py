"""What follows from the declared settings is up to date in the tree."""

import pytest

from tests import generated


def test_schema_and_page_are_those_of_the_declared_settings():
    assert generated.stale() == []


@pytest.mark.parametrize("name", ["SCHEMA", "PAGE"])
def test_a_file_that_was_edited_by_hand_is_told(name, monkeypatch, tmp_path):
    path = tmp_path / "file"
    text = getattr(generated, name).read_text(encoding="utf-8")
    path.write_text(text.replace("Smaller seeds do not count.", "Small seeds do not."))
    monkeypatch.setattr(generated, name, path)
    monkeypatch.setattr(generated, "ROOT", tmp_path)
    assert generated.stale() == ["file: is out of date; run make generated"]


def test_text_around_the_tables_stays():
    page = generated.page_text(
        f"before\n{generated.MARKS[0]}a stale table\n{generated.MARKS[1]}after\n"
    )
    assert page.startswith(f"before\n{generated.MARKS[0]}")
    assert page.endswith(f"{generated.MARKS[1]}after\n")
    assert "stale" not in page and "`sigma_px`" in page


def test_a_page_without_its_marks_is_refused():
    with pytest.raises(ValueError, match="put them back"):
        generated.page_text("before\nafter\n")
