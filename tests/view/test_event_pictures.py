"""Pictures of events: every pixel says which sign had more and how many, every file holds the windows it is said to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from events.damaged import stream
from spikeworks.events import EventStream
from spikeworks.view import events as view
from spikeworks.view import film


def test_a_pixel_says_which_sign_had_more() -> None:
    s = stream(400)
    found = view.picture(s, 2)
    assert found.shape == (14, 26)
    for y in range(7):
        for x in range(13):
            signs = s.p[(s.x == x) & (s.y == y)].astype(int) * 2 - 1
            net = int(signs.sum())
            wanted = min(net, 3) if net > 0 else 3 + min(-net, 3) if net < 0 else 7 if len(signs) else 0
            assert (found[2 * y : 2 * y + 2, 2 * x : 2 * x + 2] == wanted).all()
    with pytest.raises(ValueError, match="scale=0"):
        view.picture(s, 0)


def frames(file: Path) -> list[np.ndarray]:
    with Image.open(file) as image:
        found = []
        for i in range(image.n_frames):
            image.seek(i)
            found.append(np.asarray(image.convert("RGB")))
    return found


def test_an_animation_has_a_picture_per_window(tmp_path: Path) -> None:
    windows = list(stream(300).windows(1000))
    assert view.animate(windows, tmp_path / "a.gif", fps=30) == (5, 5)
    found = frames(tmp_path / "a.gif")
    assert len(found) == 5
    for window, frame in zip(windows, found, strict=True):
        assert np.array_equal(frame, view.PALETTE[view.picture(window, 256 // 13)])
    with Image.open(tmp_path / "a.gif") as image:
        spent = []
        for i in range(5):
            image.seek(i)
            spent.append(image.info["duration"])
    assert sum(spent) == 170  # 5/30 s in hundredths


@pytest.mark.parametrize(("n", "cells", "taken"), [(1, 4, [0]), (4, 4, [0, 1, 2, 3]), (9, 4, [0, 4, 8]), (7, 3, [0, 4]),
                                                   (5, 1, [0]), (17, 24, list(range(17)))])  # fmt: skip
def test_a_contact_sheet_takes_windows_evenly(tmp_path: Path, n: int, cells: int, taken: list[int]) -> None:
    windows = [EventStream([i], [i], [0], [1], 200, 200) for i in range(n)]
    assert view.animate(windows, tmp_path / "a.png", cells=cells) == (n, len(taken))
    with Image.open(tmp_path / "a.png") as image:
        sheet = np.asarray(image)
    rows, columns = np.nonzero(sheet == 1)
    order = np.lexsort((columns, rows // 204))
    across = (sheet.shape[1] - 4) // 204
    assert [(int(c) - 4) % 204 for c in columns[order]] == taken
    assert across * ((sheet.shape[0] - 4) // 204) >= len(taken)


def test_a_film(tmp_path: Path) -> None:
    av: Any = pytest.importorskip("av", reason="needs PyAV")
    windows = list(stream(300).windows(1000))
    assert view.animate(windows, tmp_path / "a.mp4", fps=25) == (5, 5)
    with av.open(str(tmp_path / "a.mp4")) as film:
        found = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        assert film.streams.video[0].average_rate == 25
    assert len(found) == 5
    wanted = view.PALETTE[view.picture(windows[0], 19)]  # 247 × 133, made even
    assert found[0].shape == (134, 248, 3)
    assert np.abs(found[0][:133, :247].astype(int) - wanted).mean() < 12  # lossy


def test_what_cannot_be_drawn_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s = stream(300)
    for windows, name, fps, words in (
        ([s], "a.avi", 30, "ends in one of .gif, .png, .mp4"),
        ([], "a.gif", 30, "no events"),
        ([s], "a.gif", 60, "fps=60"),
        ([s], "a.mp4", 0.5, "fps=0.5"),
    ):
        with pytest.raises(ValueError, match=words):
            view.animate(windows, tmp_path / name, fps)
    monkeypatch.setattr(film, "LARGEST", 100_000)
    with pytest.raises(ValueError, match=r"more than 3 pictures of 247×133 takes too much memory"):
        view.animate([s] * 4, tmp_path / "a.gif")
    monkeypatch.setattr(film, "MOST", 3)
    with pytest.raises(ValueError, match="more than 3 pictures, expected"):
        view.animate([s] * 4, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
