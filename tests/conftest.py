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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that run whole workflows: the last would have a core to itself."""
    items.sort(key=lambda item: "workflow" not in item.path.parts)
