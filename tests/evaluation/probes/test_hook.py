"""The probe during training: figures before and after, curves, the figure, and nothing changed of the run."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flsl_mm.evaluation.probes import FLSLProbeHook
from tests.builders.checkpoints import equal_states
from tests.builders.probe_data import write_classes
from tests.builders.toy_run import messages_of, toy_runner


@pytest.fixture(scope='module')
def watched(tmp_path_factory):
    """Train with a look after each epoch; returns the Runner, the lines of its log, and the hook."""
    hook = FLSLProbeHook(scenes=dict(num_scenes=6, size=96), num_images=2, interval=1)
    runner = toy_runner(tmp_path_factory.mktemp('watched'), [hook])
    return runner, messages_of(runner, runner.train), hook


def test_it_sees_that_training_changed_the_teacher_and_draws_it(watched):
    runner, lines, hook = watched
    (comparison,) = [line for line in lines if line.startswith('Before -> after')]
    assert 'matched' in comparison
    assert '(chance 0.5' in comparison
    assert 'diversity of features, scenes: 12' in comparison
    assert re.search(r'same-object AUC: 0\.\d+ ± 0\.\d+ -> 0\.\d+ ± 0\.\d+ \(chance 0.500\)', comparison)
    assert re.search(r'place share: 0\.\d+ -> 0\.\d+$', comparison)
    before = runner.message_hub.get_info('probe_before')['figures']
    step, after = hook.latest
    assert step == runner.max_iters
    assert set(before) == set(after)
    assert before != after
    assert all(np.isfinite(value) for value in after.values())
    image = np.array(Image.open(Path(runner.work_dir) / 'clusters_before_after.png'))
    assert image.shape[1] > 4 * 192
    (file,) = Path(runner.work_dir).glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    steps = [row['step'] for row in rows if 'probe/scenes/matched_auc' in row]
    assert steps == [0, 4, 8]


def test_looking_changes_nothing_of_the_training(watched, tmp_path):
    plain = toy_runner(tmp_path, [])
    plain.train()
    assert equal_states(plain.model, watched[0].model)


def test_images_that_cannot_be_used_are_named(tmp_path):
    folder = write_classes(tmp_path / 'classes', images=4)
    (folder / 'val/class1/2.png').write_bytes(b'')
    hook = FLSLProbeHook(classification=dict(root=folder))
    runner = toy_runner(tmp_path, [hook], epochs=1)
    (line,) = [line for line in messages_of(runner, runner.train) if line.startswith('not used by the probes')]
    assert 'val/class1/2.png (no image of a kind' in line
    assert hook.latest[1]['probe/classification/knn_accuracy'] >= 0


@pytest.mark.parametrize('probes', [{}, {'sceens': {}}])
def test_unknown_probes_are_refused_with_the_known_ones(probes):
    with pytest.raises(ValueError, match='needs probes among scenes, segmentation, retrieval'):
        FLSLProbeHook(**probes)
