"""Replacements for compiled mmcv ops, with the signatures under which ``mmcv.ops`` calls ``mmcv._ext``.

As in mmcv, results are written into tensors that the caller allocated. Everything is computed in float32, since
torchvision has no bfloat16 kernels and its CPU kernels differ between torch versions in the half types they take.
"""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor

__all__ = [
    'get_compiler_version',
    'get_compiling_cuda_version',
    'ms_deform_attn_backward',
    'ms_deform_attn_forward',
    'nms',
    'roi_align_backward',
    'roi_align_forward',
    'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward',
]


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Suppress boxes that overlap a better one.

    Args:
        boxes: (N, 4) corners x1, y1, x2, y2.
        scores: (N,).
        iou_threshold: Boxes with a larger intersection over union are dropped.
        offset: 0, or 1 for the convention in which a box is x2 - x1 + 1 wide.

    Returns:
        Indices (K,) of the kept boxes, best first, int64.
    """
    boxes = boxes.float()
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return torchvision.ops.nms(boxes, scores.float(), iou_threshold)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Pool regions of a feature map bilinearly (Mask R-CNN, arXiv 1703.06870).

    Args:
        input: (B, C, H, W).
        rois: (R, 5) index into the batch, then x1, y1, x2, y2 in image pixels.
        output: (R, C, aligned_height, aligned_width), overwritten.
        argmax_y: Unused, mmcv's maximum pooling needs it.
        argmax_x: Likewise.
        aligned_height: Output rows.
        aligned_width: Output columns.
        spatial_scale: Feature pixels per image pixel.
        sampling_ratio: Samples per output pixel and axis, 0 for as many as there are feature pixels.
        pool_mode: 1, average. 0, maximum, has no stand-in.
        aligned: Whether pixel centers lie at half integers.

    Raises:
        NotImplementedError: For maximum pooling.
    """
    if pool_mode == 0:
        raise NotImplementedError(
            "roi_align with pool_mode='max' has no stand-in: it needs mmcv with compiled ops (docs/detection.md)"
        )
    size = (aligned_height, aligned_width)
    pooled = torchvision.ops.roi_align(input.float(), rois.float(), size, spatial_scale, sampling_ratio, aligned)
    output.copy_(pooled)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the gradient of :func:`roi_align_forward` with respect to its input.

    Args:
        grad_output: (R, C, aligned_height, aligned_width).
        rois: (R, 5), as in the forward pass.
        argmax_y: Unused.
        argmax_x: Unused.
        grad_input: (B, C, H, W), overwritten.
        aligned_height: As in the forward pass, like all that follow.
        aligned_width: See there.
        spatial_scale: See there.
        sampling_ratio: See there.
        pool_mode: 1; the forward pass refuses 0.
        aligned: See there.
    """
    gradient = torch.ops.torchvision._roi_align_backward(
        grad_output.float(),
        rois.float(),
        spatial_scale,
        aligned_height,
        aligned_width,
        *grad_input.shape,
        sampling_ratio,
        aligned,
    )
    grad_input.copy_(gradient)


def _focal_loss(logits: Tensor, target: Tensor, class_weight: Tensor, gamma: float, alpha: float) -> Tensor:
    """Compute mmcv's sigmoid focal loss (N, K) in float32; a target outside 0..K-1 is background."""
    positive = (target[:, None] == torch.arange(logits.shape[1], device=logits.device)).float()
    loss = torchvision.ops.sigmoid_focal_loss(logits.float(), positive, alpha, gamma)
    if class_weight.numel():
        # A row weighs as much as its target class; mmcv reads past the end of the weights for background, here it is 1.
        foreground = (target >= 0) & (target < logits.shape[1])
        row_weight = torch.where(foreground, class_weight.float()[target.clamp(0, logits.shape[1] - 1)], 1.0)
        loss = loss * row_weight[:, None]
    return loss


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, *, gamma: float, alpha: float
) -> None:
    """Write the focal loss (arXiv 1708.02002) of every logit.

    Args:
        input: Logits (N, K).
        target: Class indices (N,), K for background.
        weight: Weights of the classes (K,), or empty.
        output: (N, K), overwritten.
        gamma: Focusing exponent.
        alpha: Weight of positives; negatives weigh 1 - alpha.
    """
    output.copy_(_focal_loss(input.detach(), target, weight, gamma, alpha))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, *, gamma: float, alpha: float
) -> None:
    """Write the derivative of every entry of :func:`sigmoid_focal_loss_forward` into ``grad_input`` (N, K)."""
    with torch.enable_grad():
        logits = input.detach().float().requires_grad_()
        loss = _focal_loss(logits, target, weight, gamma, alpha).sum()
        grad_input.copy_(torch.autograd.grad(loss, logits)[0])


def _deform_attn(value: Tensor, shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    """Call mmcv's own PyTorch version, which it uses by itself on the CPU only."""
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    return multi_scale_deformable_attn_pytorch(value, shapes, locations, weights)


def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    *,
    im2col_step: int,
) -> Tensor:
    """Attend to sampled points of several feature maps (Deformable DETR, arXiv 2010.04159).

    Args:
        value: (B, S, heads, C), the maps flattened and joined.
        spatial_shapes: (L, 2) height and width of each map.
        level_start_index: Unused, follows from the shapes.
        sampling_locations: (B, Q, heads, L, points, 2) x and y in 0..1.
        attention_weights: (B, Q, heads, L, points).
        im2col_step: Unused, a memory setting of the compiled kernel.

    Returns:
        (B, Q, heads * C).
    """
    tensors = (value.float(), spatial_shapes, sampling_locations.float(), attention_weights.float())
    return _deform_attn(*tensors).to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    *,
    im2col_step: int,
) -> None:
    """Write the gradients of :func:`ms_deform_attn_forward` into the three ``grad_`` tensors, recomputing it."""
    with torch.enable_grad():
        leaves = [part.detach().float().requires_grad_() for part in (value, sampling_locations, attention_weights)]
        attended = _deform_attn(leaves[0], spatial_shapes, leaves[1], leaves[2])
        gradients = torch.autograd.grad(attended, leaves, grad_output.float())
    for target, gradient in zip((grad_value, grad_sampling_loc, grad_attn_weight), gradients, strict=True):
        target.copy_(gradient)


def get_compiler_version() -> str:
    """Name what stands in, where environment reports ask for the compiler."""
    return f'none (flsl_mm stand-in on torchvision {torchvision.__version__})'


def get_compiling_cuda_version() -> str:
    """Return the CUDA version that torch was built with, or ``not available``."""
    return torch.version.cuda or 'not available'
