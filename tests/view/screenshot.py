"""The picture in the documentation of the viewer: ``PYTHONPATH=src:tests python tests/view/screenshot.py OUT.png``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from spikeworks.view.app import Viewer
from spikeworks.view.overlay import Tracks
from spikeworks.view.scene import Scene
from view.moving_scene import its_tracks, moving_scene
from view.test_browser import ARGUMENTS, CHROMIUM


def main(out: Path) -> None:
    """A simulated recording, its tracks, and a pixel that the disc passes."""
    size = 400, 250, 400
    with tempfile.TemporaryDirectory() as folder:
        (tracks := Path(folder) / "tracks.txt").write_text(its_tracks(*size))
        scene = Scene(moving_scene(*size), "simulated.dat", Tracks.read(tracks))
    with Viewer(scene) as viewer, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.goto(viewer.address)
        page.locator("#at").fill("240")
        page.wait_for_selector("#picture[data-shown='240']")
        box = page.locator("#picture").bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] * 0.46, box["y"] + box["height"] * 0.52)
        page.wait_for_selector("#plots:not([hidden])")
        page.wait_for_timeout(1000)
        page.screenshot(path=out)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
