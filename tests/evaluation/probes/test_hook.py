"""The probe during training: figures before and after, curves, the figure, and nothing changed of the run."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from flsl_mm.evaluation.probes import FLSLProbeHook
from tests.builders.probe_data import write_classes
from tests.builders.toy_run import messages_of, toy_runner


def scenes_hook(**options):
    return FLSLProbeHook(scenes=dict(num_scenes=6, size=96), num_images=2, **options)


def test_it_sees_that_training_changed_the_teacher_and_draws_it(tmp_path):
    hook = scenes_hook(interval=1)
    runner = toy_runner(tmp_path, [hook])
    (comparison,) = [line for line in messages_of(runner, runner.train) if line.startswith('Before -> after')]
    assert 'matched' in comparison
    assert '(chance 0.5' in comparison
    assert 'diversity of features, scenes: 12' in comparison
    assert re.search(r'place share: 0\.\d+ -> 0\.\d+$', comparison)
    before = runner.message_hub.get_info('probe_before')['figures']
    step, after = hook.latest
    assert step == runner.max_iters
    assert set(before) == set(after)
    assert before != after
    assert all(np.isfinite(value) for value in after.values())
    image = np.array(Image.open(tmp_path / 'clusters_before_after.png'))
    assert image.shape[1] > 4 * 192


def test_curves_are_written_at_every_look(tmp_path):
    runner = toy_runner(tmp_path, [scenes_hook(interval=1)])
    runner.train()
    (file,) = tmp_path.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    steps = [line['step'] for line in lines if 'probe/scenes/matched_auc' in line]
    assert len(steps) == runner.max_epochs + 1
    assert steps[0] == 0


def test_looking_changes_nothing_of_the_training(tmp_path):
    states = []
    for name, hooks in (('plain', []), ('watched', [scenes_hook(interval=1)])):
        runner = toy_runner(tmp_path / name, hooks)
        runner.train()
        states.append(runner.model.state_dict())
    expected, watched = states
    for name, tensor in watched.items():
        np.testing.assert_array_equal(tensor, expected[name], err_msg=name)


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
