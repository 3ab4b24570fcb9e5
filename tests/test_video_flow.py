"""Flow, what can be trusted of it, and what earlier frames say of the next: known motion."""

import numpy as np
import pytest
from PIL import Image

from tf_style.video.flow import flow, grey, warp
from tf_style.video.history import MOVING, History
from tf_style.video.reliability import reliability

STEP = (3, 1)  # Pixels a frame to the right and down that the camera moves.
SIZE = (72, 96)


@pytest.fixture(scope="module")
def photograph(request):
    path = request.config.rootpath / "examples" / "chelsea.jpg"
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def panned(photograph, index):
    left, top = 60 + STEP[0] * index, 40 + STEP[1] * index
    return photograph[top : top + SIZE[0], left : left + SIZE[1]]


def with_square(frame, left, top=25, side=24):
    """A checkered square in front of it."""
    y, x = np.mgrid[:side, :side] // 4
    square = np.where((x + y) % 2, 230, 30).astype(np.uint8)[..., np.newaxis]
    framed = frame.copy()
    framed[top : top + side, left : left + side] = square
    return framed


def of(frame):
    return grey(frame / 255)


def test_a_pan_is_found(photograph):
    here, before = of(panned(photograph, 1)), of(panned(photograph, 0))
    found = flow(here, before)
    inside = found[8:-8, 8:-8]
    # What is at x now was at x + 3: measured, 0.03 pixels off on average.
    assert np.abs(inside - STEP).mean() < 0.1
    back = warp(panned(photograph, 0), found)
    error = np.abs(back - panned(photograph, 1))[8:-8, 8:-8]
    assert error.mean() < 1


def test_a_small_frame_has_flow(photograph):
    small = [of(np.array(Image.fromarray(panned(photograph, i)).resize((24, 18)))) for i in (1, 0)]
    found = flow(*small)
    assert found.shape == (18, 24, 2)
    np.testing.assert_allclose(np.median(found, (0, 1)), np.array(STEP) / 4, atol=0.15)


def test_nothing_is_trusted_where_it_was_hidden_or_out_of_sight(photograph):
    left = 40
    before = of(with_square(panned(photograph, 0), left))
    here = of(with_square(panned(photograph, 1), left - 8))
    visible, trust = reliability(flow(here, before), flow(before, here))
    assert visible.dtype == trust.dtype == np.float32
    assert np.all(trust <= visible)
    # What the square has left free: 8 + 3 columns at its right side, once it has moved against the pan.
    uncovered = trust[28:46, left + 24 - 8 + 1 : left + 24 - 3 - 1]
    assert uncovered.mean() < 0.2
    # Two columns and a row of new ones at the border.
    assert trust[:, -2:].max() < 0.6
    # Far from both it is trusted.
    assert trust[:, :20].mean() > 0.9


def test_edges_of_motion_have_no_weight():
    still = np.zeros((40, 60, 2), np.float32)
    moving = still.copy()
    moving[:, 30:, 0] = 0.5  # Too little to be hidden by, going there and back.
    visible, trust = reliability(moving, -moving)
    # To the right of there the way leads out of the frame.
    assert visible[:, :-4].min() == 1
    assert trust[20, 10] == trust[20, 45] == 1
    assert trust[20, 29:31].max() == 0


def test_a_still_scene_is_its_own_target(photograph):
    history = History()
    made = photograph[50 : 50 + SIZE[0], 50 : 50 + SIZE[1]]
    frame = panned(photograph, 0)
    for _ in range(3):
        history.add(frame / 255, made)
    outlook = history.outlook(frame / 255)
    np.testing.assert_array_equal(outlook.weights, 1)
    np.testing.assert_allclose(outlook.target, made, atol=1e-3)
    np.testing.assert_allclose(outlook.start, made, atol=1e-3)


def test_what_moves_is_held_less(photograph):
    history = History()
    history.add(panned(photograph, 0) / 255, panned(photograph, 0))
    frame = panned(photograph, 1)
    outlook = history.outlook(frame / 255)
    middle = np.s_[10:-10, 10:-10]
    np.testing.assert_allclose(outlook.weights[middle].mean(), MOVING, rtol=0.1)


def test_another_shot_has_no_history(photograph):
    history = History()
    assert history.outlook(panned(photograph, 0) / 255) is None
    history.add(panned(photograph, 0) / 255, panned(photograph, 0))
    other = photograph[::-1][100 : 100 + SIZE[0], 200 : 200 + SIZE[1]]
    assert history.outlook(other / 255) is None
    # The slower of two ways to be far from that: a fast pan, 12 of 96 pixels a frame.
    fast = panned(photograph, 4)
    assert history.outlook(fast / 255) is not None


@pytest.mark.parametrize("level", [0, 255])
def test_between_a_flat_frame_and_a_picture_is_a_cut(photograph, level):
    frame, flat = panned(photograph, 0), np.full((*SIZE, 3), level)
    for before, here in ((flat, frame), (frame, flat)):
        history = History()
        history.add(before / 255, np.uint8(before))
        assert history.outlook(here / 255) is None
        assert history.outlook(before / 255) is not None


def test_a_fade_is_held_as_what_moves(photograph):
    """Neither a cut nor still."""
    history = History()
    frame = panned(photograph, 0)
    history.add(frame / 510, frame)
    outlook = history.outlook(0.7 * frame / 255)
    np.testing.assert_allclose(outlook.weights.mean(), MOVING, rtol=0.2)
    # And it starts from what was painted.
    assert np.abs(outlook.start - frame).mean() < 5


def test_noise_is_no_change(photograph):
    random = np.random.default_rng(0)
    history = History()
    frame = panned(photograph, 0)
    before, here = (np.clip(frame + random.normal(0, 8, frame.shape), 0, 255) / 255 for _ in range(2))
    history.add(before, frame)
    outlook = history.outlook(here)
    # Measured, 0.70, where noise passes for motion now and then, and 0.8 levels.
    assert outlook.weights.mean() > 0.5
    assert np.abs(outlook.target - frame).mean() < 2


def test_where_a_mask_has_come_nothing_is_held(photograph):
    history = History()
    frame = panned(photograph, 0)
    before, here = np.zeros((2, *SIZE), np.uint16)
    here[:, 48:] = 255
    history.add(frame / 255, 255 - frame, [before])
    outlook = history.outlook(frame / 255, [here])
    np.testing.assert_array_equal(outlook.weights[:, :48], 1)
    np.testing.assert_array_equal(outlook.weights[:, 48:], 0)


def test_what_was_hidden_comes_from_farther_back_and_weighs_less(photograph):
    """A square is in the way for one frame."""
    history = History(offsets=(1, 2))
    frame = panned(photograph, 0)
    painted = 255 - frame
    history.add(frame / 255, painted)
    hidden = with_square(frame, 40)
    history.add(hidden / 255, with_square(painted, 40))
    outlook = history.outlook(frame / 255)
    behind = np.s_[29:45, 44:60]
    assert 0 < outlook.weights[behind].mean() < outlook.weights[:, :20].mean()
    # Measured, 2 levels; the square is 80 off.
    assert np.abs(outlook.target[behind] - painted[behind]).mean() < 5


def test_new_places_start_from_the_source_in_the_colours_around(photograph):
    history = History()
    history.add(panned(photograph, 0) / 255, np.full((*SIZE, 3), 200, np.uint8))
    frame = panned(photograph, 5)
    outlook = history.outlook(frame / 255)
    new = np.s_[8:-8, -10:]
    assert outlook.weights[new].max() < 0.1
    # As detailed as the source, and as bright as what was painted.
    assert outlook.start[new].std() > 0.5 * frame[new].std()
    assert abs(outlook.start[new].mean() - 200) < 30
