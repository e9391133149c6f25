"""mmdet imported before flsl_mm: its placeholders for compiled ops give way to the stand-in."""

import subprocess
import sys
import textwrap

import pytest

from flsl_mm.utils.compat.placeholders import guarded_imports


def test_imports_inside_try_are_found():
    source = """
    from mmcv.ops import nms
    try:
        from mmcv.ops.roi_align import roi_align
        from mmcv.ops import point_sample as sample, RoIPool
        from mmengine.model import BaseModule
    except ImportError:
        roi_align = None
    """
    assert list(guarded_imports(textwrap.dedent(source))) == [
        ('mmcv.ops.roi_align', 'roi_align', 'roi_align'),
        ('mmcv.ops', 'point_sample', 'sample'),
        ('mmcv.ops', 'RoIPool', 'RoIPool'),
    ]


@pytest.mark.parametrize('early', ['mmdet.datasets', 'mmdet.models'])
def test_mmdet_imported_first_works_all_the_same(early):
    pytest.importorskip('mmdet')
    code = f"""
        import importlib, sys
        try:
            importlib.import_module({early!r})  # upstream fails here, the forks go on without ops
        except ModuleNotFoundError:
            pass
        import flsl_mm
        import mmdet.models, numpy as np
        from mmdet.structures.mask import BitmapMasks
        masks = BitmapMasks(np.ones((1, 8, 8), np.uint8), 8, 8)
        print(masks.crop_and_resize(np.array([[0, 0, 8, 8]], np.float32), (4, 4), np.array([0])).masks.sum())
        from mmdet.models.layers import bbox_nms
        from mmdet.models.detectors import dino
        print(bbox_nms.batched_nms.__module__, dino.MultiScaleDeformableAttention.__module__)
    """
    command = [sys.executable, '-W', 'ignore', '-c', textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ['16', 'mmcv.ops.nms mmcv.ops.multi_scale_deform_attn']
