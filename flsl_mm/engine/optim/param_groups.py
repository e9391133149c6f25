"""Two parameter groups: with and without weight decay."""

from __future__ import annotations

from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn


def split_by_decay(model: nn.Module) -> list[dict]:
    """Split trainable parameters: weights of two or more dimensions decay, biases and norms do not.

    Returns:
        Two optimiser groups, the second with ``weight_decay`` 0.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        dict(params=[parameter for parameter in trainable if parameter.ndim >= 2]),
        dict(params=[parameter for parameter in trainable if parameter.ndim < 2], weight_decay=0.0),
    ]


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class FLSLOptimWrapperConstructor:
    """Builds an optimiser wrapper on the groups of :func:`split_by_decay`.

    Two groups instead of MMEngine's one per parameter let the fused optimisers work on all tensors at once.

    Args:
        optim_wrapper_cfg: Config of the wrapper, with ``optimizer``.
        paramwise_cfg: Must be empty.

    Raises:
        ValueError: If ``paramwise_cfg`` is given.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        if paramwise_cfg:
            raise ValueError('FLSLOptimWrapperConstructor takes no paramwise_cfg: remove it or the constructor')
        self.optim_wrapper_cfg = dict(optim_wrapper_cfg)

    def __call__(self, model: nn.Module):
        """Build the optimiser wrapper for ``model``."""
        optimizer_cfg = dict(self.optim_wrapper_cfg.pop('optimizer'), params=split_by_decay(model))
        self.optim_wrapper_cfg.setdefault('type', 'OptimWrapper')
        optimizer = OPTIMIZERS.build(optimizer_cfg)
        wrapper = OPTIM_WRAPPERS.build(self.optim_wrapper_cfg, default_args=dict(optimizer=optimizer))
        # Both groups have the wrapper's learning rate; MMEngine would log a second, unscaled one beside it.
        wrapper.base_param_settings = None
        return wrapper
