"""The list of mutations does not rot: what it changes is there, once, and so are the tests."""

import pytest

from tests.mutations import LIBRARY, MUTATIONS, ROOT, file_of


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.what)
def test_what_a_mutation_changes_stands_once_in_its_file(mutation):
    assert (ROOT / LIBRARY / mutation.file).read_text().count(mutation.old) == 1
    assert mutation.old != mutation.new
    for name in mutation.tests:
        assert file_of(name).is_file()


def test_there_are_at_least_40_mutations_each_told_apart():
    assert len({m.what for m in MUTATIONS}) == len(MUTATIONS) >= 40
