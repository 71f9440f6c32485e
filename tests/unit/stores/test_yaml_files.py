"""YAML: what is plain is read as everybody reads it, all else is refused at once in one line."""

import time

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overtile.errors import InputError
from overtile.stores import yaml_files
from overtile.stores.yaml_files import read_yaml, write_yaml

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(
    LEAVES, lambda v: st.lists(v, max_size=4) | st.dictionaries(TEXT, v, max_size=4), max_leaves=12
)
LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@given(st.dictionaries(TEXT, VALUES, max_size=5))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_written_is_read_with_the_same_types_and_as_the_library_reads_it(tmp_path, values):
    path = tmp_path / "a.yaml"
    write_yaml(path, values)
    found = read_yaml(path)
    assert repr(found) == repr(values) == repr(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "text",
    [
        "{a: 1e-3, b: 1.0e-3, c: 0x1f, d: 0o17, e: 1_000, f: 1:30, g: ~, h: yes, i: .inf, j: ''}",
        "a: |\n  two\n  lines\nb: >\n  one\n  line\nc: 'it''s'\nd: !!str 3\n",
        "# nothing but a comment\na:\n- 1\n-\n- [[], {}]\n",
        "---\na: 1\n...\n",
    ],
)
def test_plain_values_are_those_of_the_library(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    assert repr(read_yaml(tmp_path / "a.yaml")) == repr(yaml.safe_load(text))


def test_what_is_used_twice_is_written_twice(tmp_path):
    size = [1.0, 0.5, 0.5]
    write_yaml(tmp_path / "a.yaml", {"one": size, "two": size})
    assert read_yaml(tmp_path / "a.yaml") == {"one": size, "two": size}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds NoneType"),
        ("[1]", "holds list"),
        (LAUGHS, "has an anchor or alias.* in line 1"),
        ("a: *b", "has an anchor or alias"),
        ("a: {<<: {b: 1}}", "has the merge << in line 1"),
        ("[" * 100_000, "nested deeper than 20"),
        ("{a: " * 100_000, "nested deeper than 20"),
        ("a:\n" + "".join(" " * n + "- \n" for n in range(1, 3000)), "nested deeper than 20"),
        ("a: 1\nb: {c: 1, d: 2, c: 3}", "the key 'c' twice; its block ends in line 2"),
        ("1: a", "a key that is not text"),
        ("? [a]\n: 1", "a key that is not text"),
        ("a: 2024-02-30", "has the timestamp 2024-02-30 in line 1; put it in quotes"),
        ("a: " + "9" * 5000, "is not a valid int in line 1"),
        ("a: !!int x", "'x' is not a valid int"),
        ("a: !!bool x", "'x' is not a valid bool"),
        ("a: !!int ''", "'' is not a valid int"),
        ("a: !!float [1]", "has the tag"),
        ("a: !!python/object/apply:os.system [x]", "has the tag tag:yaml.org,2002:python/object"),
        ("a: !!binary x", "has the tag"),
        ("a: 1\n---\nb: 1", "a second document begins in line 2"),
        ("a: [1", "while parsing"),
        ("a: b: c", "not allowed"),
        ("a: \x00", "not YAML"),
        ("a: \x07", "not YAML"),
    ],
)
def test_anything_else_is_one_line_at_once(tmp_path, text, words):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    began = time.monotonic()
    with pytest.raises(InputError, match=words) as error:
        read_yaml(path)
    assert time.monotonic() - began < 1
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_a_file_that_is_no_text_or_not_there_is_one_line(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"a: \xff")
    for name, words in {"a.yaml": "not YAML: 'utf-8'", "b.yaml": "no such file"}.items():
        with pytest.raises(InputError, match=words):
            read_yaml(tmp_path / name)


def test_a_file_above_the_limit_is_refused_and_one_at_it_read(tmp_path, monkeypatch):
    path = tmp_path / "a.yaml"
    path.write_text("a: 12345")
    monkeypatch.setattr(yaml_files, "MOST_BYTES", 8)
    assert read_yaml(path) == {"a": 12345}
    monkeypatch.setattr(yaml_files, "MOST_BYTES", 7)
    with pytest.raises(InputError, match="has more than 7 bytes; allowed: up to that"):
        read_yaml(path)
