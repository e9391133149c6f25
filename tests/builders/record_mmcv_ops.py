"""Record what compiled mmcv ops return on random inputs: run it once where mmcv was built with ops.

    python -m tests.builders.record_mmcv_ops tests/data/mmcv_ops.npz

The recorded file holds the settings of every case; inputs follow from the seeds (tests/builders/mmcv_cases.py).
"""

from __future__ import annotations

import sys

import mmcv
import numpy as np
from mmcv.ops import nms, roi_align

from tests.builders.mmcv_cases import NMS_CASES, ROI_CASES, nms_input, roi_input


def record() -> dict[str, np.ndarray]:
    """Run every case through compiled mmcv."""
    recorded = {'mmcv_version': np.array(mmcv.__version__)}
    for number, case in enumerate(NMS_CASES):
        boxes, scores = nms_input(case)
        recorded[f'nms_{number}'] = nms(boxes, scores, case.iou_threshold, case.offset)[1].numpy()
    for number, case in enumerate(ROI_CASES):
        features, rois, grad_output = roi_input(case)
        features.requires_grad_()
        pooled = roi_align(
            features, rois, case.output_size, case.spatial_scale, case.sampling_ratio, 'avg', case.aligned
        )
        pooled.backward(grad_output)
        recorded[f'roi_{number}_output'] = pooled.detach().numpy()
        recorded[f'roi_{number}_gradient'] = features.grad.numpy()
    return recorded


if __name__ == '__main__':
    np.savez_compressed(sys.argv[1], **record())
