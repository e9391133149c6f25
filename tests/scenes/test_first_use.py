"""Scenes are written once, by one process, and used as they are afterwards."""

from dataclasses import replace

import pytest

from flsl_mm.scenes import first_use
from flsl_mm.scenes.first_use import ensure_scenes
from flsl_mm.scenes.output import TreeRequest

REQUEST = TreeRequest(num=3, frames=6, seed=0, size_hw=(32, 48), val_fraction=0.3)


@pytest.mark.parametrize('layout', ['coco', 'davis', 'segmentation'])
def test_what_is_there_is_left_alone(layout, tmp_path):
    ensure_scenes(tmp_path / 'scenes', layout, REQUEST)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / 'scenes').rglob('*')}
    assert len(written) > 6
    ensure_scenes(tmp_path / 'scenes', layout, replace(REQUEST, num=5, frames=7, seed=1))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'scenes').rglob('*')} == written


def test_only_the_main_process_writes_and_all_wait(tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr(first_use, 'is_main_process', lambda: False)
    monkeypatch.setattr(first_use, 'barrier', lambda: waited.append(True))
    ensure_scenes(tmp_path / 'scenes', 'coco', REQUEST)
    assert not (tmp_path / 'scenes').exists()
    assert waited == [True]
