"""A browser, a served workspace to look at, and somebody who looks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.dashboard import CHROMIUM, FLAGS, Looker, Place, served


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install 'pingti[dev]'")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def place(_workspace_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("browser") / "workspace"
    with served(_workspace_template, root) as place:
        yield place


@pytest.fixture
def looker(browser: Any, place: Place) -> Iterator[Looker]:
    yield Looker(browser=browser, url=place.url, faults=[])
    for context in browser.contexts:
        context.close()
