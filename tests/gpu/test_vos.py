"""Label propagation: the masks, J and F of the CPU."""

import numpy as np
import pytest
import torch

pytest.importorskip('cv2')

from flsl_mm.vos.measures import contour_accuracy, region_similarity
from flsl_mm.vos.propagator import FLSLLabelPropagator
from tests.builders.davis_tree import COLORS, moving_squares

pytestmark = pytest.mark.gpu

BACKBONE = dict(type='FLSLViT', arch=dict(embed_dim=48, depth=2, num_heads=3), patch_size=8)


@pytest.mark.parametrize(('dtype', 'largest'), [('float32', 1e-3), ('bfloat16', 3e-2)])
def test_masks_are_those_of_the_cpu(device, dtype, largest, record_property):
    """At most this share of the pixels differs, and J and F by no more."""
    masks = moving_squares(8, (1, 2))
    noise = np.random.default_rng(0).integers(0, 60, (*masks.shape, 3), dtype=np.uint8)
    item = dict(video='v', index=0, count=1, frames=COLORS[masks] // 2 + noise, masks=masks)
    predictions = []
    for place, precision in (('cpu', 'float32'), (device, dtype)):
        torch.manual_seed(0)
        model = FLSLLabelPropagator(BACKBONE, progress=False, dtype=precision).to(place).eval()
        predictions.append(model.predict(item)['predictions'])
    expected, given = predictions
    share = (expected != given).mean()
    record_property('share of pixels that differ', f'{share:.1e}')
    assert share <= largest
    for measure in (region_similarity, contour_accuracy):
        scores = [np.mean([measure(p[t] == 1, masks[t] == 1) for t in range(1, len(masks))]) for p in (expected, given)]
        assert scores[1] == pytest.approx(scores[0], abs=largest)
        assert scores[0] > 0.5  # it follows the object at all
