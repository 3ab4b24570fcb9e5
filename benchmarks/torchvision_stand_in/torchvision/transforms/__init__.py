"""The transforms that peers use."""

import numpy
import torch
from PIL import Image


class Compose:
    """One after the other."""

    def __init__(self, transforms):
        """Takes them in order."""
        self.transforms = transforms

    def __call__(self, value):
        """Applies them."""
        for transform in self.transforms:
            value = transform(value)
        return value


def Resize(size):
    """To (height, width)."""
    return lambda image: image.resize(size[::-1], Image.Resampling.BILINEAR)


def ToTensor():
    """From a Pillow image to [channels, height, width], 0..1."""
    return lambda image: torch.tensor(numpy.asarray(image)).permute(2, 0, 1).float() / 255


def Lambda(function):
    """The function itself."""
    return function


def Normalize(mean, std):
    """Each channel less its mean, over its standard deviation."""
    mean, std = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]
    return lambda tensor: (tensor - mean.to(tensor.device)) / std.to(tensor.device)


def ToPILImage():
    """From [channels, height, width], 0..1, to a Pillow image."""
    return lambda tensor: Image.fromarray((tensor * 255).byte().permute(1, 2, 0).cpu().numpy())
