"""Fixtures that several test modules use."""

import pytest
from tests_support import Project, copy_project


@pytest.fixture
def project(tmp_path) -> Project:
    """Give a fresh copy of the workflow without results."""
    return copy_project(tmp_path)


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory) -> Project:
    """Give a copy that the tests of one module share."""
    return copy_project(tmp_path_factory.mktemp("project"))
