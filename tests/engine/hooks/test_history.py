"""Log histories stay short."""

from __future__ import annotations

import pytest

from tests.toy_run import toy_runner


@pytest.mark.parametrize(('window', 'expected'), [(3, 5), (7, 7)])
def test_histories_keep_the_latest_values(window, expected, tmp_path):
    hook = dict(type='FLSLHistoryHook', max_length=5)
    runner = toy_runner(tmp_path, [hook], log_processor=dict(window_size=window))
    runner.train()
    for name in ('train/loss', 'train/lr', 'train/time'):
        values, counts = runner.message_hub.get_scalar(name).data
        assert len(values) == len(counts) == expected
