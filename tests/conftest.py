"""Lets every test file find the harness and the Python package, however pytest was started."""

import pathlib
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parent
for folder in (TESTS, TESTS.parent / "client" / "python"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@pytest.fixture(scope="module")
def daemon():
    """One daemon for all tests of a file; it must still be well, and end well, after the last of them."""
    from harness import Daemon

    with Daemon() as running:
        yield running


@pytest.fixture
def sock(daemon):
    """A fresh connection to it."""
    with daemon.connect() as connection:
        yield connection
