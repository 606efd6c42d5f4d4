"""A sealed test split: all other splits are as they were, and the test split raises until it is opened."""

import pytest
import torch

from linmem import data
from linmem.data.sealed import SealedTestError, open_test, readable_splits, sealed_test
from linmem.data.splits import SPLITS


@pytest.mark.parametrize("name", ["chorales", "digits:20:10:10", "copy"])
def test_sealing_changes_the_test_split_alone(name):
    whole = data.load(name)
    with sealed_test():
        sealed = data.load(name)
        assert readable_splits() == SPLITS[:2]
        with open_test():
            again = data.load(name)
    assert readable_splits() == SPLITS
    for split in ("train", "valid"):
        assert all(torch.equal(x, y) for x, y in zip(getattr(whole, split), getattr(sealed, split), strict=True))
    assert all(torch.equal(x, y) for x, y in zip(whole.test, again.test, strict=True))
    for read in (len, list, lambda sequences: sequences[0], bool):
        with pytest.raises(SealedTestError):
            read(sealed.test)
    for by_split in ("titles", "labels", "targets"):
        if hasattr(sealed, by_split):
            with pytest.raises(SealedTestError):
                getattr(sealed, by_split)["test"]
    assert "test sealed" in repr(sealed)


def test_what_is_loaded_inside_an_exception_leaves_the_seal_as_it_was():
    with pytest.raises(ZeroDivisionError), sealed_test():
        _ = 1 / 0
    assert len(data.load("chorales").test) == 78
