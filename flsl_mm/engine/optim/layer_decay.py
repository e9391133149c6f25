"""Optimiser groups with layer-wise learning rates for models on an FLSL backbone."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import is_model_wrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from flsl_mm.models import FLSLViT

NORM_LAYERS = (_NormBase, nn.GroupNorm, nn.LayerNorm)


def find_backbone(model: nn.Module) -> tuple[str, FLSLViT]:
    """Find the one FLSL backbone in a model.

    Returns:
        Prefix of its parameter names (``'backbone.'`` in mmdet, mmseg and mmpretrain) and the backbone.

    Raises:
        ValueError: If the model holds no ``FLSLViT`` or more than one.
    """
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, FLSLViT)]
    if len(found) != 1:
        raise ValueError(f'layer-wise decay needs exactly one FLSLViT in the model, found {len(found)}')
    name, backbone = found[0]
    return f'{name}.' if name else '', backbone


def undecayed_names(model: nn.Module, decay_bias: bool, no_decay_keys: Sequence[str]) -> set[str]:
    """List the parameters that weight decay must not touch.

    Args:
        model: The model.
        decay_bias: Whether biases outside of normalisation layers decay.
        no_decay_keys: Parameters whose name contains one of these never decay.

    Returns:
        Full names of the parameters of normalisation layers, of those matching a key and, without ``decay_bias``, of
        all one-dimensional ones.
    """
    names = set()
    for prefix, module in model.named_modules():
        is_norm = isinstance(module, NORM_LAYERS)
        for name, parameter in module.named_parameters(prefix, recurse=False):
            flat = not decay_bias and parameter.ndim <= 1
            if is_norm or flat or any(key in name for key in no_decay_keys):
                names.add(name)
    return names


def layer_decay_groups(
    model: nn.Module,
    lr: float,
    layer_decay_rate: float = 1.0,
    decay_bias: bool = False,
    no_decay_keys: Sequence[str] = ('pos_embed',),
) -> list[dict]:
    """Group trainable parameters by depth in the backbone and by weight decay.

    Args:
        model: A model with one :class:`~flsl_mm.models.FLSLViT`.
        lr: Learning rate of everything outside the backbone, and of the backbone's last norm.
        layer_decay_rate: Factor in (0, 1] from a block to the one below: with 12 blocks, block 11 learns at
            ``lr * layer_decay_rate``, block 0 at ``lr * layer_decay_rate**12``, the patch embedding at ``**13``.
        decay_bias: As of :func:`undecayed_names`.
        no_decay_keys: Likewise.

    Returns:
        Optimiser groups with ``params``, ``lr`` and, for those without decay, ``weight_decay`` 0; deepest last.

    Raises:
        ValueError: If the rate is out of range or the model has not exactly one backbone.
    """
    if not 0 < layer_decay_rate <= 1:
        raise ValueError(f'layer_decay_rate must lie in (0, 1], got {layer_decay_rate}')
    prefix, backbone = find_backbone(model)
    undecayed = undecayed_names(model, decay_bias, no_decay_keys)
    groups: dict[tuple[float, bool], dict] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        depth, num_depths = backbone.get_layer_depth(name, prefix)
        scale = layer_decay_rate ** (num_depths - 1 - depth)
        group = groups.setdefault((scale, name in undecayed), dict(params=[], lr=lr * scale))
        group['params'].append(parameter)
        if name in undecayed:
            group['weight_decay'] = 0.0
    return [groups[key] for key in sorted(groups)]


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class FLSLLayerDecayConstructor:
    """Builds an optimiser wrapper on :func:`layer_decay_groups`, in mmdet, mmseg and mmpretrain alike.

    Few groups instead of MMEngine's one per parameter let the optimiser work on many tensors at once. Example::

        optim_wrapper = dict(
            type='OptimWrapper',
            optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
            constructor='FLSLLayerDecayConstructor',
            paramwise_cfg=dict(layer_decay_rate=0.75),
        )

    Args:
        optim_wrapper_cfg: Config of the wrapper, with ``optimizer`` and its ``lr``.
        paramwise_cfg: ``layer_decay_rate``, ``decay_bias`` and ``no_decay_keys`` of :func:`layer_decay_groups`.

    Raises:
        ValueError: If ``paramwise_cfg`` has other keys or the optimiser has no ``lr``.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        self.optim_wrapper_cfg = dict(optim_wrapper_cfg)
        self.paramwise_cfg = dict(paramwise_cfg or {})
        unknown = set(self.paramwise_cfg) - {'layer_decay_rate', 'decay_bias', 'no_decay_keys'}
        if unknown:
            raise ValueError(
                'FLSLLayerDecayConstructor knows layer_decay_rate, decay_bias and no_decay_keys in paramwise_cfg, got '
                f'{sorted(unknown)}'
            )
        if 'lr' not in self.optim_wrapper_cfg['optimizer']:
            raise ValueError('FLSLLayerDecayConstructor needs lr in the config of the optimizer')

    def __call__(self, model: nn.Module):
        """Build the optimiser wrapper for ``model``, wrapped for distributed training or not."""
        wrapper_cfg = dict(self.optim_wrapper_cfg)
        optimizer_cfg = dict(wrapper_cfg.pop('optimizer'))
        model = model.module if is_model_wrapper(model) else model
        optimizer_cfg['params'] = layer_decay_groups(model, optimizer_cfg['lr'], **self.paramwise_cfg)
        wrapper_cfg.setdefault('type', 'OptimWrapper')
        return OPTIM_WRAPPERS.build(wrapper_cfg, default_args=dict(optimizer=OPTIMIZERS.build(optimizer_cfg)))
