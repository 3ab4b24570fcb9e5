"""The transforms as functions."""

from torchvision.transforms import ToPILImage, ToTensor

to_tensor = ToTensor()
to_pil_image = ToPILImage()
