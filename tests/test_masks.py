"""Masks: read as they lie in the file, matched with styles, refused where they do not fit."""

import io

import numpy as np
import pytest
from PIL import Image

from tf_style import InputError
from tf_style.images.picture import Picture, from_array
from tf_style.images.reading import as_mask, read_mask
from tf_style.transfer import masks

RED, GREEN, BLACK = (255, 0, 0), (0, 128, 0), (0, 0, 0)


def file(image: Image.Image, form: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def grey(rows) -> Picture:
    return from_array(np.uint8(rows))


def label_image(rows) -> Picture:
    return from_array(np.uint8(rows))


def test_a_mask_is_read_as_it_lies_in_the_file():
    """Not by its profile or gamma, but upright, with all its bits."""
    values = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    exif = Image.Exif()
    exif[274] = 6
    turned = file(Image.fromarray(values), "JPEG", quality=100, exif=exif.tobytes())
    np.testing.assert_allclose(read_mask(turned).pixels[..., 0] * 255, np.rot90(values, -1), atol=2)
    linear = file(Image.fromarray(values)).replace(b"IDAT", b"IDAT", 1)
    gamma = b"\0\0\0\x04gAMA\0\x01\x86\xa0\x31\xe8\x96\x5f"  # 1.0
    at = linear.index(b"IDAT") - 4
    data = linear[:at] + gamma + linear[at:]
    np.testing.assert_array_equal(np.rint(255 * read_mask(data).pixels[..., 0]), values)
    wide = file(Image.fromarray(np.uint16(values) * 257 + 3))
    assert read_mask(wide).pixels[0, 1, 0] == np.float32((20 * 257 + 3) / 65535)
    palette = Image.fromarray(np.uint8([[0, 1], [1, 0]]), "P")
    palette.putpalette([*RED, *GREEN])
    np.testing.assert_array_equal(np.rint(255 * read_mask(file(palette)).pixels[0]), [RED, GREEN])
    np.testing.assert_array_equal(as_mask(np.array([[True, False]])).pixels[0, :, 0], [1, 0])


def test_a_mask_with_transparency_or_ink_is_refused():
    transparent = Image.new("LA", (4, 4), (255, 100))
    with pytest.raises(InputError, match="has transparency. A mask is opaque"):
        read_mask(file(transparent))
    with pytest.raises(InputError, match="is of CMYK. A mask is grey"):
        read_mask(file(Image.new("CMYK", (4, 4)), "TIFF"))
    assert read_mask(file(Image.new("LA", (4, 4), (255, 255)))).pixels.min() == 1


def test_grey_masks_are_one_for_each_style():
    first, second = grey([[255, 0], [51, 0]]), grey([[0, 255], [0, 255]])
    found = masks.regions([first, second], [None, second], [True, True])
    assert [set(region.styles) for region in found] == [{0}, {1}]
    np.testing.assert_allclose(found[0].content, [[1, 0], [0.2, 0]])
    assert found[0].styles[0] is None
    np.testing.assert_array_equal(found[1].styles[1], [[0, 1], [0, 1]])
    assert all(region.is_soft for region in found)
    # 'none' keeps the photograph.
    (only,) = masks.regions([first, second], [], [False, True])
    assert set(only.styles) == {1}
    (one,) = masks.regions([first], [], [True])
    assert set(one.styles) == {0}


def test_none_keeps_the_photograph_under_other_masks():
    first, kept = grey([[255, 255, 102]]), grey([[0, 255, 204]])
    (only,) = masks.regions([first, kept], [], [True, False])
    np.testing.assert_allclose(only.content, [[1, 0, 0.2]], atol=1e-6)
    # Of two more, each of a size of its own.
    larger = grey([[0, 0, 0, 0, 255, 255]] * 2)
    (only,) = masks.regions([first, kept, larger], [], [True, False, False])
    np.testing.assert_allclose(only.content, [[1, 0, 0]], atol=1e-6)


def test_one_mask_is_taken_as_one_and_transparency_refused():
    mask = np.float32([[0, 1]])
    assert masks.Masks(content=mask).content == (mask,)
    assert masks.Masks(blend="a.png", styles="b.png").blend == ("a.png",)
    with pytest.raises(InputError, match="has transparency. A mask is opaque"):
        as_mask(np.zeros((2, 2, 4), np.uint8))


def test_labels_say_which_style_goes_where():
    content = label_image([[RED, GREEN], [BLACK, BLACK]])
    sky, rest = label_image([[RED, BLACK]]), label_image([[GREEN, GREEN], [BLACK, RED]])
    found = {region.name: region for region in masks.regions([content], [sky, rest], [True, True])}
    assert found.keys() == {"the region #ff0000", "the region #008000", "the region #000000"}
    red = found["the region #ff0000"]
    np.testing.assert_array_equal(red.content, [[1, 0], [0, 0]])
    np.testing.assert_array_equal(red.styles[0], [[1, 0]])
    np.testing.assert_array_equal(red.styles[1], [[0, 0], [0, 1]])
    assert set(found["the region #008000"].styles) == {1}
    assert not red.is_soft
    # One without a mask, or 'none', has the rest.
    first, others = masks.regions([content], [label_image([[RED]]), None], [True, True])
    assert others.name == "the rest"
    np.testing.assert_array_equal(others.content, [[0, 1], [1, 1]])
    assert others.styles == {1: None}
    (only,) = masks.regions([content], [label_image([[RED]]), None], [True, False])
    assert set(only.styles) == {0}
    # 'none' with a mask has its colours alone.
    found = masks.regions([content], [label_image([[RED, BLACK]]), rest], [False, True])
    assert [set(region.styles) for region in found] == [{1}, {1}, {1}]
    alone = masks.regions(
        [content], [label_image([[RED]]), label_image([[BLACK, GREEN]])], [False, True]
    )
    assert [region.name for region in alone] == ["the region #000000", "the region #008000"]


def test_regions_that_move_are_the_same_whoever_is_there():
    own = [label_image([[RED]]), None]
    shapes = []
    for row in ([RED, GREEN], [RED, RED], [GREEN, GREEN], [BLACK, BLACK]):
        found = masks.regions([label_image([row])], own, [True, True], may_be_empty=True)
        assert [each.name for each in found] == ["the region #ff0000", "the rest"]
        shapes.append([each.content.tolist() for each in found])
    assert shapes[0] == [[[1, 0]], [[0, 1]]]
    assert shapes[1] == [[[1, 1]], [[0, 0]]]
    assert shapes[2] == shapes[3] == [[[0, 0]], [[1, 1]]]
    # With one style alone, and of one grey for a moment.
    own = [label_image([[RED, BLACK]])]
    black, red = masks.regions([label_image([[BLACK]])], own, [True], may_be_empty=True)
    assert (black.content.all(), red.content.any()) == (True, False)


def test_greys_are_labels_beside_several_styles():
    content, own = grey([[0, 1, 2]]), grey([[1, 2]])
    found = masks.regions([content], [own, None], [True, True])
    assert [region.name for region in found] == ["the region #010101", "the region #020202", "the rest"]


@pytest.mark.parametrize(
    ("content", "styles", "is_style", "message"),
    [
        ([[[9]]], [None, None], [True], "one style mask for each style"),
        ([[[9]], [[9]]], [], [True], "one content mask for each style, or one label image"),
        ([[[0]]], [], [True], "content mask 1 is black everywhere"),
        ([[[9]]], [[[0]]], [True], "style mask 1 is black everywhere"),
        ([[[9]], [[9]]], [[[9]], None], [False, True], "style mask 1 would have no effect"),
        ([[[9]]], [], [False], "nothing would be painted"),
        ([[[RED]]], [[[GREEN]]], [True], "style mask 1 has no colour of the content mask: #008000"),
        ([[[RED, GREEN]]], [[[RED]]], [True], "No style mask has #008000 of the content mask"),
        ([[[RED]]], [[[RED]], None], [True, True], "Style 2 would have no effect"),
        ([[[9]], [[RED]]], [], [True, True], "content mask 2 has colours"),
        ([[[RED, BLACK]]], [], [True], "A label image as content mask would have no effect"),
        ([[[9, 0]]], [], [True, False], "A label image as content mask would have no effect"),
        (
            [[[RED, BLACK]]],
            [[[RED]], None, None],
            [True, True, False],
            "Style 3, 'none', would have no effect",
        ),
        (
            [[[(i, 0, 9) for i in range(17)]]],
            [None],
            [True],
            "17 colours, and a label image at most 16",
        ),
    ],
)
def test_masks_that_do_not_fit_together_are_refused(content, styles, is_style, message):
    with pytest.raises(InputError, match=message) as error:
        masks.regions(
            [from_array(np.uint8(each)) for each in content],
            [None if each is None else from_array(np.uint8(each)) for each in styles],
            is_style,
        )
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("mask", "picture", "fits"),
    [
        ((100, 150), (100, 150), True),
        ((50, 75), (101, 150), True),
        ((333, 500), (1000, 1501), True),
        ((2000, 3001), (100, 150), True),
        ((100, 149), (150, 100), False),
        ((100, 130), (100, 150), False),
        ((1000, 1400), (1000, 1501), False),
    ],
)
def test_a_mask_has_its_pictures_proportions(mask, picture, fits):
    shapes = (Picture(np.zeros((*mask, 3), np.float32)), Picture(np.zeros((*picture, 3), np.float32)))
    if fits:
        masks.check_proportions(*shapes, "content mask 1")
        return
    with pytest.raises(InputError, match="content mask 1 of .* has other proportions than its picture"):
        masks.check_proportions(*shapes, "content mask 1")


def test_soft_masks_are_averaged_and_labels_are_not():
    mask = np.float32([[0, 1, 1, 1], [0, 0, 1, 1]])
    np.testing.assert_allclose(masks.resized(mask, 1, 2, is_soft=True), [[0.25, 1]])
    assert set(masks.resized(mask, 1, 2, is_soft=False).ravel()) <= {0, 1}
    np.testing.assert_array_equal(
        masks.resized(mask, 4, 8, is_soft=False), mask.repeat(2, 0).repeat(2, 1)
    )
    made = masks.resized(mask, 5, 9, is_soft=True)
    assert made.min() >= 0
    assert made.max() <= 1
