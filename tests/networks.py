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


class Bright(nn.Module):
    """Three convolutions of one pixel: instrument (class 1) where red, normalised, is above `level`; 5 is the most."""

    def __init__(self, num_classes: int, level: float = 0.0):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, num_classes, 1)
        )
        for layer in (self.layers[0], self.layers[2], self.layers[4]):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.layers[0].weight.data[:, 0] = 1.0
        self.layers[0].bias.data[:] = 5.0
        self.layers[2].weight.data[:, :, 0, 0] = 0.25
        self.layers[4].weight.data[1] = 2.0
        self.layers[4].bias.data[1] = -8.0 * (5 + level)

    def forward(self, frames):
        return self.layers(frames)
