"""The viewer in a browser: loaded, scrubbed, asked, exported by hand, as a user does; nothing else is asked for."""

from __future__ import annotations

import io
import shutil
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spikeworks import camera
from spikeworks.view.app import Viewer
from spikeworks.view.overlay import Tracks
from spikeworks.view.scene import Look, Scene
from view.moving_scene import its_tracks, moving_scene

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def colours(page: Any) -> np.ndarray:
    """What the canvas shows, ``[H, W, 3]``."""
    url = page.evaluate("() => document.querySelector('#picture').toDataURL()")
    return np.asarray(Image.open(io.BytesIO(b64decode(url.partition(",")[2]))).convert("RGB"))


def until(page: Any, question: str) -> None:
    """Wait for the page to say yes; a question of playwright's own would be evaluated against the page's policy."""
    for _ in range(400):
        if page.evaluate(f"() => {question}"):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"the page never said yes to {question}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    path = tmp_path_factory.mktemp("page") / "tracks.txt"
    path.write_text(its_tracks())
    return Scene(moving_scene(), "moving.dat", Tracks.read(path))


@pytest.fixture
def said() -> list[str]:
    """Errors that the page had, which are to be none in the end."""
    return []


@pytest.fixture
def page(browser: Any, scene: Scene, said: list[str]) -> Iterator[Any]:
    """The page of a scene. In the end: it had no errors, and asked nothing of anyone else."""
    asked: list[str] = []
    with Viewer(scene) as viewer:
        page = browser.new_page(viewport={"width": 1366, "height": 768}, accept_downloads=True)
        page.on("console", lambda message: message.type == "error" and said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.set_default_timeout(20_000)
        page.goto(viewer.address)
        page.wait_for_selector("#picture[data-shown='0']")
        yield page
        page.close()
        assert not said
        assert len(asked) > 5
        assert not [u for u in asked if not u.startswith((viewer.address, "blob:" + viewer.address[:20], "data:image"))]


def shown(page: Any, frame: int) -> np.ndarray:
    """The colours of a frame on the page ``[H, W, 3]``, once it is there."""
    page.wait_for_selector(f"#picture[data-shown='{frame}']")
    return colours(page)


def is_the(picture: np.ndarray, scene: Scene, look: Look, frame: int) -> bool:
    """Grey where the light can be told, marked elsewhere."""
    grey, valid = scene.picture(look, frame)
    return bool(
        (picture[valid] == grey[valid][:, None]).all() and (picture[~valid] != grey[~valid][:, None]).any(-1).all()
    )


def test_scrubbing_shows_the_frame_that_is_pointed_at(page: Any, scene: Scene) -> None:
    assert is_the(shown(page, 0), scene, Look(), 0)
    for frame in (200, 37, 399):
        page.locator("#at").fill(str(frame))
        assert is_the(shown(page, frame), scene, Look(), frame)
    page.keyboard.press("Home")
    for key, frame in (("ArrowRight", 1), ("Shift+ArrowRight", 11), ("ArrowLeft", 10), ("End", 399)):
        page.keyboard.press(key)
        shown(page, frame)
    assert page.locator("#frame").input_value() == "399"
    box = page.locator("#at").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    for k in range(40):  # faster than pictures come: the last one wins
        page.mouse.move(box["x"] + 20 + k * 10, box["y"] + 20)
    page.mouse.up()
    frame = int(page.locator("#at").input_value())
    assert 100 < frame < 150
    assert is_the(shown(page, frame), scene, Look(), frame)


def test_another_method_window_and_tone(page: Any, scene: Scene, said: list[str]) -> None:
    page.locator("#at").fill("150")
    before = shown(page, 150)
    page.locator("#method").select_option("tfi")
    assert page.locator("#window").input_value() == "255"
    page.wait_for_timeout(300)
    after = shown(page, 150)
    assert is_the(after, scene, Look("tfi"), 150)
    assert not np.array_equal(before, after)
    page.locator("#causal").check()
    page.locator("#window").fill("12")
    page.locator("#window").press("Enter")
    page.wait_for_timeout(300)
    assert is_the(shown(page, 150), scene, Look("tfi", 12, causal=True), 150)
    page.locator("#auto").uncheck()
    page.locator("#white").fill("0.5")
    page.locator("#white").press("Enter")
    page.wait_for_timeout(300)
    assert is_the(shown(page, 150), scene, Look("tfi", 12, True, 0.5), 150)
    page.locator("#marks").uncheck()
    assert np.array_equal(shown(page, 150), scene.picture(Look("tfi", 12, True, 0.5), 150)[0][..., None].repeat(3, -1))
    page.locator("#method").select_option("tfp")
    page.locator("#window").fill("401")
    page.locator("#window").press("Enter")
    page.get_by_text("looks at 401 frames, but there are 400").wait_for()
    assert "400 (Bad Request)" in said.pop()  # as the browser calls what the page has just explained


def test_a_clicked_pixel_tells_its_spikes(page: Any, scene: Scene) -> None:
    page.locator("#at").fill("200")
    shown(page, 200)
    box = page.locator("#picture").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 50.5 / 200, box["y"] + box["height"] * 60.5 / 120)
    page.get_by_role("heading", name="Pixel (50, 60)").wait_for()
    spikes = int(scene.stream.dense()[:, 60, 50].sum())
    page.get_by_text(f"{spikes} in 400 frames").wait_for()
    for name in ("raster", "rates", "histogram"):
        assert (
            page.evaluate(
                f"new Set(document.querySelector('#{name}').getContext('2d').getImageData(0,0,300,40).data).size"
            )
            > 3
        )
    page.keyboard.press("Alt+ArrowRight")
    page.get_by_role("heading", name="Pixel (51, 60)").wait_for()
    page.keyboard.press("Escape")
    assert page.locator("#plots").is_hidden()


def test_it_plays_and_stops(page: Any) -> None:
    page.locator("#speed").select_option("300")
    page.get_by_role("button", name="Play", exact=True).click()
    until(page, "+document.querySelector('#picture').dataset.shown > 50")
    page.get_by_role("button", name="Pause", exact=True).click()
    frame = page.locator("#at").input_value()
    page.wait_for_timeout(200)
    assert page.locator("#at").input_value() == frame
    page.wait_for_selector(f"#picture[data-shown='{frame}']")


def test_exports_are_downloaded(page: Any, scene: Scene) -> None:
    page.locator("#at").fill("150")
    shown(page, 150)
    page.locator("#withoverlays").uncheck()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Frame as PNG").click()
    assert waiting.value.suggested_filename == "moving-frame150.png"
    picture = np.asarray(Image.open(Path(waiting.value.path())))
    assert np.array_equal(picture, scene.picture(Look(), 150)[0])
    page.locator("#withoverlays").check()
    for name, value in (("start", 100), ("stop", 130), ("step", 2)):
        page.locator(f"#{name}").fill(str(value))
    page.get_by_text("15 pictures, 0.5 s").wait_for()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Clip as GIF").click()
    with Image.open(Path(waiting.value.path())) as image:
        assert image.n_frames == 15
    av = pytest.importorskip("av", reason="needs PyAV")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Clip as MP4").click()
    assert waiting.value.suggested_filename == "moving-frames100-129.mp4"
    with av.open(io.BytesIO(Path(waiting.value.path()).read_bytes())) as film:
        assert sum(1 for _ in film.decode(video=0)) == 15


def test_every_control_has_a_name(page: Any) -> None:
    bare = page.evaluate("""() => [...document.querySelectorAll('input, select, button')].filter(
        e => !(e.labels && e.labels.length) && !e.ariaLabel && !e.textContent.trim()).map(e => e.id)""")
    assert bare == []


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (1280, 640), (800, 900), (390, 800)])
def test_it_fits_the_screen(browser: Any, scene: Scene, width: int, height: int) -> None:
    with Viewer(scene) as viewer:
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="dark")
        page.goto(viewer.address)
        page.wait_for_selector("#picture[data-shown='0']")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box = page.locator("#picture").bounding_box()
        assert box["width"] >= 0.5 * (width - 520 if width > 1000 else width - 240 if width > 620 else width)
        assert abs(box["width"] / box["height"] - 200 / 120) < 0.02
        page.close()


def test_the_real_recording(browser: Any) -> None:
    from camera.spikes import recording

    scene = Scene(camera.open(recording("real_car_400x250x200.dat"), 250, 400), "car")
    with Viewer(scene) as viewer:
        page = browser.new_page()
        page.goto(viewer.address)
        page.wait_for_selector("#picture[data-shown='0']")
        page.locator("#at").fill("100")
        page.wait_for_selector("#picture[data-shown='100']")
        assert np.array_equal(colours(page)[..., 0], scene.picture(Look(), 100)[0])
        page.close()
