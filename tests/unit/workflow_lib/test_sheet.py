"""The sheet of slides: what it may hold, and one line for every mistake."""

import os
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overtile_workflow.sheet import FORBIDDEN, NAME, Row, read_sheet

ROOT = Path(__file__).resolve().parents[3]
HEADER = "slide\timage\tlabels\tsplit\tgroup\tpixel_size_um"


@pytest.fixture
def sheet(tmp_path):
    """Read a sheet of some lines; the pictures a.tif and b.tif lie in the data folder."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("a.tif", "b.tif"):
        (folder / name).touch()

    def read(*lines, header=HEADER, encoding="utf-8"):
        path = tmp_path / "slides.tsv"
        path.write_text("\n".join([header, *lines]) + "\n", encoding=encoding)
        return read_sheet(str(path), str(folder))

    return read


def refusal(sheet, *lines, **options) -> str:
    with pytest.raises(ValueError) as error:
        sheet(*lines, **options)
    message = str(error.value)
    assert "slides.tsv" in message
    assert "\n" not in message
    return message


def test_rows_come_in_the_order_of_the_file_with_paths_inside_the_data_folder(sheet, tmp_path):
    rows = sheet("s2\ta.tif\tb.tif\ttrain\tp1\t0.5 0.25", "s1\tb.tif")
    folder = str(tmp_path / "data")
    assert list(rows) == ["s2", "s1"]
    labels = os.path.join(folder, "b.tif")
    assert rows["s2"] == Row("s2", f"{folder}/a.tif", labels, "train", "p1", "0.5 0.25")
    assert rows["s1"] == Row("s1", labels)


def test_columns_may_stand_in_any_order_and_be_left_out(sheet):
    assert sheet("b.tif\ts1", header="image\tslide")["s1"].image.endswith("b.tif")


def test_a_byte_order_mark_blank_lines_comments_and_spaces_do_no_harm(sheet):
    rows = sheet("", "# s0\ta.tif", " s1 \t a.tif ", "\t\t", encoding="utf-8-sig")
    assert list(rows) == ["s1"]


def test_an_absolute_path_is_taken_as_it_is(sheet, tmp_path):
    assert sheet(f"s\t{tmp_path}/data/a.tif")["s"].image == f"{tmp_path}/data/a.tif"


def test_pictures_that_the_workflow_makes_itself_need_not_exist_yet(sheet):
    path = "resources/demo/slide7_labels.ome.tif"
    assert sheet(f"s\t{path}")["s"].image == path


@pytest.mark.parametrize(
    "name", ["my slide.tif", '"all".tif', "it's.tif", 'a "b".tif', "ä$&;*.tif"]
)
def test_picture_files_may_have_spaces_and_quotes(sheet, tmp_path, name):
    (tmp_path / "data" / name).touch()
    assert sheet(f"s\t{name}")["s"].image == str(tmp_path / "data" / name)


@pytest.mark.parametrize(
    "name", ["my slide", "it's", 'a"b', "a/b", "../a", ".hidden", "-a", "ä", "a*", "x" * 81]
)
def test_slide_names_that_a_shell_or_a_path_would_trip_over_are_refused(sheet, name):
    message = refusal(sheet, "ok\ta.tif", f"{name}\ta.tif")
    assert f"line 3: slide name {name!r} is not allowed; use letters, digits" in message


@given(st.from_regex(NAME, fullmatch=True))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_allowed_name_is_one_plain_part_of_a_path(name):
    assert Path(name).name == name
    assert not set(name) & set(" '\"/\\*?{}\n\t")


def test_a_slide_that_stands_there_twice_is_refused(sheet):
    message = refusal(sheet, "s\ta.tif", "s\tb.tif")
    assert "line 3: slide 's' is in two rows; rename or remove one" in message


@pytest.mark.parametrize("sides", [("train", "test"), ("test", "val"), ("val", "train")])
def test_a_group_in_two_splits_is_refused(sheet, sides):
    lines = [f"s{i}\ta.tif\tb.tif\t{side}\tmouse" for i, side in enumerate(sides)]
    message = refusal(sheet, *lines)
    assert f"group 'mouse' is in {sides[0]} (slide s0) and in {sides[1]} (slide s1)" in message


def test_a_group_may_hold_slides_of_one_split_and_slides_that_are_only_predicted(sheet):
    lines = ["a\ta.tif\tb.tif\ttrain\tm", "b\ta.tif\tb.tif\ttrain\tm", "c\ta.tif\t\t\tm"]
    assert len(sheet(*lines, "d\tb.tif\tb.tif\ttest\tother")) == 4


def test_slides_without_a_group_are_never_of_the_same(sheet):
    assert len(sheet("a\ta.tif\tb.tif\ttrain", "b\tb.tif\tb.tif\ttest")) == 2


def test_a_missing_picture_or_label_file_is_refused_by_its_full_path(sheet, tmp_path):
    message = refusal(sheet, "s\tno.tif")
    assert f"line 2: image of slide s: no such file '{tmp_path}/data/no.tif'" in message
    assert "labels of slide s: no such file" in refusal(sheet, "s\ta.tif\tno.tif")


def test_a_mask_is_found_like_a_picture_and_may_be_left_out(sheet, tmp_path):
    header = "mask\tslide\timage"
    rows = sheet("b.tif\ts1\ta.tif", "\ts2\ta.tif", header=header)
    assert rows["s1"] == Row("s1", f"{tmp_path}/data/a.tif", mask=f"{tmp_path}/data/b.tif")
    assert rows["s2"].mask == ""
    assert sheet("s\ta.tif")["s"].mask == ""


def test_a_missing_mask_or_one_with_braces_is_refused(sheet, tmp_path):
    header = "slide\timage\tmask"
    message = refusal(sheet, "ok\ta.tif\tb.tif", "s\ta.tif\tno.tif", header=header)
    assert f"line 3: mask of slide s: no such file '{tmp_path}/data/no.tif'" in message
    message = refusal(sheet, "s\ta.tif\t{x}.tif", header=header)
    assert "mask '{x}.tif' has braces or control characters" in message


def test_a_slide_without_a_picture_is_refused(sheet):
    assert "line 2: slide s has no image; add a file" in refusal(sheet, "s\t\tb.tif")
    assert "line 2: slide s has no image; add a file" in refusal(sheet, "s")


def test_a_split_without_labels_is_refused(sheet):
    assert "slide s has split 'val' but no labels" in refusal(sheet, "s\ta.tif\t\tval")


def test_an_unknown_split_is_refused_with_those_allowed(sheet):
    message = refusal(sheet, "s\ta.tif\tb.tif\tTrain")
    assert "split 'Train' of slide s is not allowed; use train, val, test" in message


@pytest.mark.parametrize(
    "size", ["0.5", "0.5 0.5 0.5 0.5", "0,5 0,5", "a b", "0 0", "-1 1", "1e 2"]
)
def test_a_pixel_size_that_is_none_is_refused(sheet, size):
    message = refusal(sheet, f"s\ta.tif\t\t\t\t{size}")
    assert f"pixel_size_um {size!r} of slide s is not allowed; give Y X or Z Y X" in message


@pytest.mark.parametrize("size", ["0.5 0.25", "2 1e-1 .5"])
def test_a_pixel_size_has_two_or_three_edges(sheet, size):
    assert sheet(f"s\ta.tif\t\t\t\t{size}")["s"].pixel_size_um == size


def test_an_unknown_column_names_the_nearest(sheet):
    message = refusal(sheet, header="slide\timage\tlabel")
    assert "unknown column 'label'; did you mean 'labels'?" in message


def test_a_column_twice_or_not_at_all_is_refused(sheet):
    assert "there are two columns 'labels'" in refusal(sheet, header=f"{HEADER}\tlabels")
    assert "has no column 'image'" in refusal(sheet, header="slide\tlabels")
    assert "has no column 'slide'" in refusal(sheet, header="")


def test_a_sheet_with_commas_is_refused_and_told_of_tabs(sheet):
    assert "slide,image" in refusal(sheet, "s,a.tif", header="slide,image")


def test_a_row_with_too_many_cells_is_refused(sheet):
    assert "line 2: has 3 cells, but the header has 2" in refusal(
        sheet, "s\ta.tif\tb", header="slide\timage"
    )


def test_braces_that_snakemake_would_fill_in_are_refused(sheet, tmp_path):
    (tmp_path / "data" / "{x}.tif").touch()
    assert "braces or control characters" in refusal(sheet, "s\t{x}.tif")


def test_exactly_braces_and_control_characters_are_forbidden_in_paths():
    found = {code for code in range(0x300) if FORBIDDEN.search(f"a{chr(code)}b")}
    assert found == {*range(32), ord("{"), ord("}")}


def test_a_missing_sheet_and_one_in_another_encoding_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no.tsv: no such file; set the key 'slides'"):
        read_sheet(str(tmp_path / "no.tsv"), ".")
    (tmp_path / "latin.tsv").write_bytes("slide\timage\nä\ta.tif\n".encode("latin-1"))
    with pytest.raises(ValueError, match="latin.tsv: is not UTF-8"):
        read_sheet(str(tmp_path / "latin.tsv"), ".")


def test_ten_thousand_slides_are_read_in_less_than_a_second(sheet):
    lines = [f"s{i}\ta.tif\tb.tif\ttrain\tg{i // 4}\t0.5 0.5" for i in range(10_000)]
    seconds = []
    for _ in range(3):
        start = time.process_time()
        rows = sheet(*lines)
        seconds.append(time.process_time() - start)
    assert len(rows) == 10_000
    assert rows["s9999"].group == "g2499"
    assert min(seconds) < 1


def test_each_file_is_looked_for_once(sheet, monkeypatch):
    looked_for = []
    is_file = os.path.isfile
    monkeypatch.setattr(os.path, "isfile", lambda path: looked_for.append(path) or is_file(path))
    sheet("s1\ta.tif\tb.tif", "s2\ta.tif")
    assert [Path(path).name for path in looked_for] == ["a.tif", "b.tif", "a.tif"]


def test_the_last_of_ten_thousand_rows_is_checked_as_the_first(sheet):
    lines = [f"s{i}\ta.tif" for i in range(10_000)]
    assert "line 10002: slide 's0' is in two rows" in refusal(sheet, *lines, "s0\ta.tif")
    assert "line 10002: image of slide x: no such file" in refusal(sheet, *lines, "x\tno.tif")


def test_a_slide_that_is_asked_for_and_not_there_names_the_nearest(sheet):
    rows = sheet("slide1\ta.tif", "slide2\ta.tif")
    with pytest.raises(ValueError, match=r"slides.tsv: has no slide 'slid1'; did you mean 'slide1"):
        rows["slid1"]
    with pytest.raises(ValueError, match=r"has no slide 'xyz'; add a row"):
        rows["xyz"]


@pytest.mark.parametrize("group", ["-x", "@list"])
def test_a_group_that_a_command_line_would_take_for_something_else_is_refused(sheet, group):
    message = refusal(sheet, f"s\ta.tif\tb.tif\ttrain\t{group}")
    assert f"group {group!r} of slide s is not allowed; a group must not start with" in message


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x1e", "\x85"])
@pytest.mark.parametrize("column", ["image", "labels", "split", "group", "pixel_size_um", "mask"])
def test_no_value_can_become_two_lines_of_a_file_of_arguments(sheet, tmp_path, column, mark):
    value = f"a.tif{mark}--settings{mark}evil.yaml"
    (tmp_path / "data" / value).touch()
    row = {"slide": "s", "image": "a.tif", "labels": "b.tif", "mask": "b.tif", column: value}
    message = refusal(sheet, "\t".join(row.values()), header="\t".join(row))
    assert f"line 2: {column} {value!r} of slide s contains a line break" in message


@pytest.mark.parametrize("folder", ["config", "config/examples/isbi2012"])
def test_every_shipped_sheet_is_valid_once_its_data_are_there(tmp_path, folder):
    path = ROOT / folder / "slides.tsv"
    header, *lines = path.read_text().splitlines()
    columns = header.split("\t")
    for line in lines:
        cells = dict(zip(columns, line.split("\t"), strict=False))
        for file in filter(None, (cells["image"], cells.get("labels"))):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
    rows = read_sheet(str(path), str(tmp_path))
    assert {"train", "test"} <= {row.split for row in rows.values()}
    settings_file = yaml.safe_load((ROOT / folder / "config.yaml").read_text())
    assert settings_file["slides"] == f"{folder}/slides.tsv"


def test_one_picture_in_two_splits_is_refused_as_a_file_a_link_or_a_copy(sheet, tmp_path):
    data = tmp_path / "data"
    pixels = bytes(range(256)) * 100
    for name in ("train.tif", "copy.tif"):
        (data / name).write_bytes(pixels)
    (data / "link.tif").symlink_to(data / "train.tif")
    (data / "hard.tif").hardlink_to(data / "train.tif")
    for name in ("train.tif", "../data/train.tif", "link.tif", "hard.tif", "copy.tif"):
        rows = ("one\ttrain.tif\tb.tif\ttrain", f"two\t{name}\tb.tif\t")
        for split in ("test", "val"):
            message = refusal(sheet, rows[0], rows[1] + split)
            assert "one (train)" in message and f"two ({split})" in message
        sheet(*rows)
        sheet(rows[0], rows[1] + "train")


def test_pictures_that_differ_in_one_byte_are_two(sheet, tmp_path):
    data = tmp_path / "data"
    pixels = bytearray(100_000)
    (data / "one.tif").write_bytes(pixels)
    pixels[20_000] = 1
    (data / "two.tif").write_bytes(pixels)
    sheet("one\tone.tif\tb.tif\ttrain", "two\ttwo.tif\tb.tif\ttest")
