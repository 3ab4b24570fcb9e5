"""What a student's network looks like. No TensorFlow here."""

import dataclasses

# A picture's sides are made multiples of it, by reflection, and cut again.
STRIDE = 4
# What a picture has around it in the network, of its own mirrored pixels. What is at a distance counts
# as by a normal distribution (Luo et al., "Understanding the Effective Receptive Field in Deep
# Convolutional Neural Networks", 2016), here with a deviation of about 10: this is three of them.
MARGIN_PX = 8 * STRIDE
# How far, in pixels, what is changed in a photograph can reach in the picture, but by way of the sums
# of instance normalisation: the kernels' reach, each times its stride, that of the two enlargements,
# and a whole stride for what the smaller sizes round.
KERNEL_REACH = 4 + 1 + 2 + 2 * 2 + 1 + 4 + 4 + 2
REACH_OF_BLOCK = 2 * STRIDE
# For each style, of which scales and shifts are sums: see `network.Condition`.
CONDITIONS = 3


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a student's network looks like.

    Attributes:
      channels: Of its first layer; there are twice as many at half the size, and four times at a
        quarter.
      blocks: Residual blocks.
      num_styles: How many styles it knows.
    """

    channels: int
    blocks: int
    num_styles: int

    @property
    def num_weights(self) -> int:
        """How many numbers its layers learn: kernels, biases, and tables of scales and shifts."""
        width = self.channels
        # Of each convolution the kernel's side, and the channels before and after it.
        convolutions = [
            *((9, 3, width), (3, width, 2 * width), (3, 2 * width, 4 * width)),
            *[(3, 4 * width, 4 * width)] * (2 * self.blocks),
            *((3, 4 * width, 2 * width), (3, 2 * width, width)),
        ]
        # The first table is of the photograph's own colours.
        normalized = 3 + sum(after for _, _, after in convolutions)
        tables = 2 * CONDITIONS * self.num_styles * normalized
        convolutions.append((9, width, 3))
        return tables + sum((side**2 * before + 1) * after for side, before, after in convolutions)

    @property
    def most_pixels(self) -> int:
        """That the network may see at once, the margin counted, but for what it pads that with.

        TensorFlow's padding counts a layer's values in 32 bits; of more it would make other values, and
        tell nothing.
        """
        return 2**31 // self.channels * 15 // 16

    @property
    def reach_px(self) -> int:
        """How far from a pixel the photograph has a part in it, a multiple of `STRIDE`."""
        reach = KERNEL_REACH + self.blocks * REACH_OF_BLOCK + STRIDE
        return -(-reach // STRIDE) * STRIDE
