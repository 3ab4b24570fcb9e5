"""VGG-19 with the weights of the file that VGG19_STATE_DICT names, as torchvision's is called.

Those weights are for BGR less Caffe's mean, on a scale of 0..255; torchvision's for RGB, 0..1, less a
mean and over a standard deviation. The first layer takes on the difference. A 60th of the activations
is of the size of torchvision's, for which its users chose their weights; ReLU and pooling keep it so.
"""

import enum
import os
import types

import torch

CONVOLUTIONS = (64, 64, "pool", 128, 128, "pool", *(256,) * 4, "pool", *(512,) * 4, "pool", *(512,) * 4)
CAFFE_MEAN = torch.tensor([103.939, 116.779, 123.68])  # BGR
MEAN = torch.tensor([0.485, 0.456, 0.406])  # RGB
DEVIATION = torch.tensor([0.229, 0.224, 0.225])
ACTIVATION_SCALE = 1 / 60

VGG19_Weights = enum.Enum("VGG19_Weights", ["IMAGENET1K_V1"])


def vgg19(weights):
    """An object whose `features` are the network without its top."""
    state = torch.load(os.environ["VGG19_STATE_DICT"], weights_only=True)
    layers, channels = [], 3
    for width in (*CONVOLUTIONS, "pool"):
        if width == "pool":
            layers.append(torch.nn.MaxPool2d(2))
            continue
        convolution = torch.nn.Conv2d(channels, width, 3, padding=1)
        kernel = state[f"features.{len(layers)}.weight"]
        bias = state[f"features.{len(layers)}.bias"] * ACTIVATION_SCALE
        if not layers:
            kernel = kernel.flip(1) * ACTIVATION_SCALE
            bias = bias + (kernel * (255 * MEAN - CAFFE_MEAN.flip(0))[:, None, None]).sum((1, 2, 3))
            kernel = kernel * (255 * DEVIATION)[:, None, None]
        with torch.no_grad():
            convolution.weight.copy_(kernel)
            convolution.bias.copy_(bias)
        layers += [convolution, torch.nn.ReLU(inplace=True)]
        channels = width
    return types.SimpleNamespace(features=torch.nn.Sequential(*layers))
