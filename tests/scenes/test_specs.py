"""What is random about a scene: separate streams, motion, and the roles of a clip's objects."""

from dataclasses import replace

import numpy as np
import pytest

from flsl_mm.scenes.specs import sample_scene, scene_generator

SIZE = (96, 128)


def spec_of(index, roles=()):
    return sample_scene(scene_generator(0, 3, 'train', index), SIZE, roles)


def test_random_streams_of_splits_and_kinds_are_disjoint():
    streams = [
        scene_generator(kind, seed, split, index).bit_generator.state['state']['state']
        for kind in range(3)
        for seed in range(4)
        for split in ('train', 'val')
        for index in range(10)
    ]
    assert len(set(streams)) == len(streams) == 240


def test_there_is_an_object_for_every_role():
    for index in range(10):
        assert 3 <= len(spec_of(index).objects) <= 7
        objects = spec_of(index, ('returns', *['stays'] * 10, 'enters')).objects
        assert [item.motion.role for item in objects] == ['stays', 'returns', *['stays'] * 10, 'enters']
        for item in objects:  # motion is smooth
            path = np.stack([item.motion.center(t) for t in np.linspace(0, 1, 101)])
            assert np.linalg.norm(np.diff(path, axis=0), axis=1).max() < 0.12
            assert np.ptp(path, axis=0).max() > 0


def test_motion_by_hand():
    motion = replace(
        spec_of(0, roles=('returns',)).objects[1].motion,
        start=np.array([0.1, 0.2]),
        drift=np.array([0.4, 0.0]),
        sway=np.array([0.0, 0.1]),
        phase=0.0,
        away=np.array([2.0, 0.0]),
    )
    np.testing.assert_allclose(motion.center(0.0), [0.1, 0.2])
    np.testing.assert_allclose(motion.center(0.5), [0.1 + 0.2 + 2.0, 0.2], atol=1e-12)
    # Half way out between 0.15 and 0.42; the sway has reached sin(2 pi 0.285).
    np.testing.assert_allclose(motion.center(0.285), [0.1 + 0.114 + 1.0, 0.2 + 0.1 * np.sin(2 * np.pi * 0.285)])


def test_bad_streams_are_named():
    arguments = dict(kind=0, seed=0, split='train', index=0)
    for wrong, message in ((dict(seed=-1), 'seed'), (dict(index=-1), 'index'), (dict(split='test'), "split 'test'")):
        with pytest.raises(ValueError, match=message):
            scene_generator(**(arguments | wrong))
