"""A picture in one call."""

from collections.abc import Callable, Sequence

from tf_style.images.reading import ImageSource, as_sources
from tf_style.transfer.masks import Masks
from tf_style.transfer.prepare import prepare
from tf_style.transfer.result import Progress, StylizeResult
from tf_style.transfer.settings import Settings
from tf_style.transfer.transfer import StyleTransfer


def stylize(
    content: ImageSource | None,
    styles: ImageSource | Sequence[ImageSource | None],
    *,
    masks: Masks | None = None,
    callback: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    **settings,
) -> StylizeResult:
    """Renders the content of one image in the style of others.

    Args:
      content: A path, the bytes of an image file, an open one, or an array [height, width, 3] of uint8,
        uint16 or floats in 0..1; None to synthesise the style's texture.
      styles: One such image or several; an empty list to reconstruct the content from its layer. With
        masks, None for one keeps the photograph where it would go.
      masks: Where each style goes; None for all of them everywhere.
      callback: Called about twice a second with a `Progress`.
      should_stop: Asked as often; when true the run ends with what it has.
      **settings: The fields of `Settings`.

    Returns:
      The picture, and how it came about.

    Raises:
      InputError: If the request cannot be carried out as it stands.

    Reference:
      Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016.
    """
    inputs = prepare(content, as_sources(styles), Settings(**settings), masks=masks)
    return StyleTransfer(inputs).run(callback=callback, should_stop=should_stop)
