"""Small networks that stand for large ones: what they compute does not matter where they are used."""

from torch import nn

from models.unet import UNet


class SmallDeepLab(UNet):
    def __init__(self, num_classes: int):
        super().__init__(num_classes, base_channels=3)


class Dot(nn.Module):
    """A single convolution of one pixel: quick to export."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.head = nn.Conv2d(3, num_classes, 1)

    def forward(self, frames):
        return self.head(frames)


class Dropping(nn.Module):
    """A convolution, dropout, and batch normalisation."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Conv2d(8, num_classes, 1)

    def forward(self, frames):
        return self.head(self.body(frames))
