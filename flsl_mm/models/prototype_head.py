"""The FLSL head: a projector and K prototypes on the sphere."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from flsl_mm.utils.mm import MODELS, BaseModule


@MODELS.register_module()
class FLSLHead(BaseModule):
    """MLP with GELU, L2 normalization and cosine logits against K prototypes (arXiv 2306.06203, section 5).

    The last layer is a weight-normalized linear map without bias whose norms are fixed to one, so its logits are
    cosines; temperatures divide them outside.

    Args:
        in_channels: Width C of the modes.
        num_prototypes: K.
        hidden_channels: Widths of the hidden layers of the MLP.
        bottleneck_channels: Width in which features and prototypes are compared.
        norm_last_layer: Whether the prototypes' norms stay one; otherwise they are learned.
        init_cfg: MMEngine initialization config.

    Raises:
        ValueError: If a width or ``num_prototypes`` is not positive.
    """

    def __init__(
        self,
        in_channels: int = 384,
        num_prototypes: int = 4096,
        hidden_channels: Sequence[int] = (2048, 2048),
        bottleneck_channels: int = 256,
        norm_last_layer: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        widths = [in_channels, *hidden_channels, bottleneck_channels]
        if min([num_prototypes, *widths]) < 1:
            raise ValueError(f'head widths and num_prototypes must be positive, got {widths} and {num_prototypes}')
        self.num_prototypes = num_prototypes
        layers: list[nn.Module] = []
        for i, (fan_in, fan_out) in enumerate(pairwise(widths)):
            layers += [nn.GELU()] * (i > 0) + [nn.Linear(fan_in, fan_out)]
        self.mlp = nn.Sequential(*layers)
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.last_layer = weight_norm(nn.Linear(bottleneck_channels, num_prototypes, bias=False))
        norms = self.last_layer.parametrizations.weight.original0
        nn.init.ones_(norms)
        norms.requires_grad_(not norm_last_layer)

    def forward(self, modes: Tensor) -> Tensor:
        """Return logits (..., K), cosines if the norms are fixed, of modes (..., C)."""
        return self.last_layer(F.normalize(self.mlp(modes), dim=-1))
