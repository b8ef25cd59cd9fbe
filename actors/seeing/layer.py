"""The layer that networks have which were trained with TensorFlow."""

from torch import Tensor, nn
from torch.nn import functional


class Layer(nn.Module):
    """A convolution that pads as TensorFlow does: where one side must get more, the last one."""

    def __init__(
        self,
        channels: int,
        width: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel, stride, groups=groups, bias=bias)
        self.before, self.after = (kernel - stride) // 2, -(-(kernel - stride) // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return (pictures, width, height / stride, ...)."""
        if self.after:
            x = functional.pad(x, (self.before, self.after) * 2)
        answer: Tensor = self.conv(x)
        return answer
