"""The commands on small data, once for all tests of the suite."""

import pytest

from tests.crash.commands import Commands


@pytest.fixture(scope="session")
def commands(tmp_path_factory):
    return Commands(tmp_path_factory.mktemp("commands") / "data", epochs=4, fresh=False)
