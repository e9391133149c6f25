"""Group an optimizer's parameters by weight decay and by depth in the backbone."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from flsl_mm.models import PatchBackbone
from flsl_mm.utils.mm import unwrap

NORM_LAYERS = (_NormBase, nn.GroupNorm, nn.LayerNorm)


def undecayed_names(model: nn.Module, decay_bias: bool, no_decay_keys: Sequence[str]) -> set[str]:
    """List the parameters that weight decay must not touch.

    Args:
        model: The model.
        decay_bias: Whether biases outside of normalization layers decay.
        no_decay_keys: Parameters whose name contains one of these never decay.

    Returns:
        Full names of the parameters of normalization layers, of those matching a key and, without ``decay_bias``, of
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


def layer_scales(model: nn.Module, layer_decay_rate: float) -> dict[str, float]:
    """Return the factor of each parameter's learning rate, by name.

    Args:
        model: A model with one :class:`~flsl_mm.models.PatchBackbone`, or of several one that is trained.
        layer_decay_rate: Factor in (0, 1] from a block to the one below: with 12 blocks, block 11 learns at
            ``layer_decay_rate``, block 0 at ``layer_decay_rate**12``, the patch embedding at ``**13``, and everything
            outside of the backbone, and its last norm, at 1. A rate of 1 is for any model.

    Raises:
        ValueError: If the rate is out of range, or the model has not exactly one such backbone.
    """
    names = [name for name, _ in model.named_parameters()]
    if layer_decay_rate == 1:
        return dict.fromkeys(names, 1.0)
    if not 0 < layer_decay_rate < 1:
        raise ValueError(f'layer_decay_rate must lie in (0, 1], got {layer_decay_rate}')
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, PatchBackbone)]
    if len(found) > 1:  # FLSL has its teacher's besides
        found = [(name, vit) for name, vit in found if any(parameter.requires_grad for parameter in vit.parameters())]
    if len(found) != 1:
        raise ValueError(f'layer-wise decay needs exactly one trained FLSLViT in the model, found {len(found)}')
    prefix, backbone = found[0]
    depths = {name: backbone.get_layer_depth(name, f'{prefix}.' if prefix else '') for name in names}
    return {name: layer_decay_rate ** (num_depths - 1 - depth) for name, (depth, num_depths) in depths.items()}


def parameter_groups(
    model: nn.Module,
    lr: float | None = None,
    layer_decay_rate: float = 1.0,
    decay_bias: bool = False,
    no_decay_keys: Sequence[str] = ('pos_embed',),
) -> list[dict]:
    """Group trainable parameters by learning rate and by weight decay.

    Args:
        model: The model.
        lr: Learning rate of everything outside of the backbone; only a ``layer_decay_rate`` below 1 needs it.
        layer_decay_rate: As of :func:`layer_scales`; 1 gives all parameters the optimizer's learning rate.
        decay_bias: As of :func:`undecayed_names`.
        no_decay_keys: Likewise.

    Returns:
        Optimizer groups, those that learn fastest first, with ``params``, ``lr`` where the rate is below 1, and
        ``weight_decay`` 0 for those without decay: two groups, or two for each depth.

    Raises:
        ValueError: If ``lr`` is missing, or as of :func:`layer_scales`.
    """
    if lr is None and layer_decay_rate != 1:
        raise ValueError('layer_decay_rate below 1 needs lr in the config of the optimizer')
    scales = layer_scales(model, layer_decay_rate)
    undecayed = undecayed_names(model, decay_bias, no_decay_keys)
    groups: dict[tuple[float, bool], dict] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            group = groups.setdefault((-scales[name], name in undecayed), dict(params=[]))
            group['params'].append(parameter)
    for (scale, is_undecayed), group in groups.items():
        if layer_decay_rate != 1:
            group['lr'] = -scale * lr
        if is_undecayed:
            group['weight_decay'] = 0.0
    return [groups[key] for key in sorted(groups)]


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class FLSLOptimWrapperConstructor:
    """Builds an optimizer wrapper on :func:`parameter_groups`, of FLSL and of models of mmdet, mmseg and mmpretrain.

    Few groups instead of MMEngine's one per parameter let the optimizer work on many tensors at once. A model that has
    ``attach_optimizer`` (:class:`~flsl_mm.selfsup.FLSL`, for its teacher) gets the optimizer. Example::

        optim_wrapper = dict(
            type='OptimWrapper',
            optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
            constructor='FLSLOptimWrapperConstructor',
            paramwise_cfg=dict(layer_decay_rate=0.75),
        )

    Args:
        optim_wrapper_cfg: Config of the wrapper, with ``optimizer``.
        paramwise_cfg: ``layer_decay_rate``, ``decay_bias`` and ``no_decay_keys`` of :func:`parameter_groups`.

    Raises:
        ValueError: If ``paramwise_cfg`` has other keys.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        self.optim_wrapper_cfg = optim_wrapper_cfg
        self.paramwise_cfg = dict(paramwise_cfg or {})
        unknown = set(self.paramwise_cfg) - {'layer_decay_rate', 'decay_bias', 'no_decay_keys'}
        if unknown:
            raise ValueError(
                'FLSLOptimWrapperConstructor knows layer_decay_rate, decay_bias and no_decay_keys in paramwise_cfg, '
                f'got {sorted(unknown)}'
            )

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper for ``model``, wrapped for distributed training or not."""
        wrapper_cfg = {'type': 'OptimWrapper', **self.optim_wrapper_cfg}
        optimizer_cfg = dict(wrapper_cfg.pop('optimizer'))
        model = unwrap(model)
        optimizer_cfg['params'] = parameter_groups(model, optimizer_cfg.get('lr'), **self.paramwise_cfg)
        wrapper = OPTIM_WRAPPERS.build(wrapper_cfg, default_args=dict(optimizer=OPTIMIZERS.build(optimizer_cfg)))
        # MMEngine would log a second learning rate, that of no group, beside the first group's.
        wrapper.base_param_settings = None
        if hasattr(model, 'attach_optimizer'):
            model.attach_optimizer(wrapper.optimizer)
        return wrapper
