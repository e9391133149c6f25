"""The probe of generated scenes: figures before and after training, and the picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

from flsl_mm.scenes import FLSLPatchProbeHook
from tests.toy_run import messages_of, toy_runner


def test_probe_sees_that_training_changed_the_teacher_and_draws_it(tmp_path):
    hook = FLSLPatchProbeHook(num_scenes=6, size=48, num_pictures=2)
    runner = toy_runner(tmp_path, [hook])
    (figures,) = [line for line in messages_of(runner, runner.train) if line.startswith('Unseen scenes')]
    assert all(part in figures for part in ('AUC', 'chance 0.5', '20-NN'))
    before = runner.message_hub.get_info('probe_before')
    after = hook.look(runner.model)
    assert 0 <= before['auc'] <= 1
    assert 0 <= before['knn'] <= 1
    assert before['auc'] != after['auc']
    picture = np.array(Image.open(tmp_path / 'clusters_before_after.png'))
    assert picture.shape[1] > 4 * 96
