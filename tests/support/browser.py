"""A headless Chromium for tests of pages, which are skipped with a reason where it is absent."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
# Without a GPU, surfaces are drawn by software.
ARGUMENTS = ["--no-sandbox", "--use-gl=swiftshader", "--enable-unsafe-swiftshader"]


@contextmanager
def open_browser() -> Iterator:
    """Give a browser of Playwright."""
    reason = "needs playwright and axe-playwright-python (pip install both)"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("needs Chromium (Debian: apt install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def open_page(browser, path: Path, width: int, scheme: str = "light") -> Iterator:
    """Give a page of a file, and fail where it complains or asks for anything else."""
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    said, asked = [], []
    page.on("console", lambda message: message.type == "error" and said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    yield page
    page.close()
    assert said == []
    assert {url for url in asked if not url.startswith(("data:", "blob:"))} == {path.as_uri()}


def find_faults(page) -> list[str]:
    """Return what axe-core calls serious or critical."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    grave = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    return [f"{fault['id']}: {fault['nodes'][0]['html'][:200]}" for fault in grave]
