"""The newest readable checkpoint is found whatever the pointer file says."""

import os

import pytest
import torch

from flsl_mm.engine.resume import find_resumable, iterations_done, newest_first, preempted_names

HUB = dict(log_scalars={}, runtime_info={}, resumed_keys={})
CONTENT = dict(meta=dict(epoch=0, iter=1), state_dict={}, message_hub=HUB, optimizer={})
LENGTH = 100


@pytest.fixture
def folder(tmp_path):
    """Return a folder with checkpoints after 100, 200, 250 and 260 iterations, files beside them, and the pointer."""
    for name in ('epoch_1.pth', 'epoch_2.pth', 'iter_250.pth', 'preempted_iter_260.pth'):
        torch.save(CONTENT, tmp_path / name)
    for name in ('epoch_2_backbone.pth', 'best_auc_epoch_9.pth', 'iter_900.pth.partial'):
        torch.save(CONTENT, tmp_path / name)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_2.pth'))
    return tmp_path


def find(folder):
    lines = []
    found = find_resumable(folder, LENGTH, lines.append)
    return found and found.name, lines


@pytest.mark.parametrize(
    ('name', 'expected'),
    [('epoch_3', 300), ('iter_7', 7), ('preempted_iter_8', 8), ('epoch_3_backbone', None), ('best_loss_epoch_3', None)],
)
def test_iterations_from_names(name, expected, tmp_path):
    assert iterations_done(tmp_path / f'{name}.pth', LENGTH) == expected
    assert iterations_done(tmp_path / f'{name}.pth.partial', LENGTH) is None


def test_order_is_that_of_training_not_of_files(folder):
    os.utime(folder / 'epoch_1.pth')
    names = [path.name for path in newest_first(folder, LENGTH)]
    assert names == ['preempted_iter_260.pth', 'iter_250.pth', 'epoch_2.pth', 'epoch_1.pth']


@pytest.mark.parametrize('pointer', [None, '', '/nowhere/epoch_9.pth'])
def test_pointer_that_is_missing_empty_or_stale(pointer, folder):
    (folder / 'last_checkpoint').unlink()
    if pointer is not None:
        (folder / 'last_checkpoint').write_text(pointer)
    assert find(folder) == ('preempted_iter_260.pth', [])


def test_damaged_and_foreign_files_are_passed_over_with_a_line(folder):
    newest = folder / 'preempted_iter_260.pth'
    newest.write_bytes(newest.read_bytes()[:-100])
    torch.save({'state_dict': {}}, folder / 'iter_250.pth')
    torch.save(CONTENT | dict(state_dict=dict(weight=torch.tensor(torch.nan))), folder / 'iter_270.pth')
    name, lines = find(folder)
    assert name == 'epoch_2.pth'
    assert f'passed over a checkpoint: {folder}/iter_270.pth is damaged: state_dict.weight has values' in lines[0]
    assert 'preempted_iter_260.pth' in lines[1]
    assert 'iter_250.pth has no meta: no run can be continued from it' in lines[2]
    assert len(lines) == 3


def test_file_of_another_name_that_the_pointer_names(tmp_path):
    torch.save(CONTENT, tmp_path / 'mine.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'mine.pth'))
    assert find(tmp_path) == ('mine.pth', [])


@pytest.mark.parametrize(
    'pointer', [b'\xff\xfe/a.pth', b'\0', b'a' * 300, b'\n\x1b[31m', b'/tmp/\xff.pth', b'/', b'..']
)
def test_pointer_of_strange_bytes(pointer, folder, tmp_path):
    (folder / 'last_checkpoint').write_bytes(pointer)
    assert find(folder) == ('preempted_iter_260.pth', [])
    empty = tmp_path / 'empty'
    empty.mkdir()
    (empty / 'last_checkpoint').write_bytes(pointer)
    assert find(empty) == (None, [])


def test_pointer_of_a_copied_folder_leads_nowhere_else(folder, tmp_path):
    """It names the original's checkpoint, from which nobody asked to continue."""
    torch.save(CONTENT, folder / 'mine.pth')
    copy = tmp_path / 'copy'
    copy.mkdir()
    (copy / 'last_checkpoint').write_text(str(folder / 'mine.pth'))
    with pytest.raises(ValueError, match=r'no checkpoint in .*copy.* names .*mine\.pth: continue .* --resume PATH'):
        find(copy)
    (copy / 'epoch_1.pth').write_bytes(b'')
    with pytest.raises(ValueError, match=r'none of the 1 checkpoints .*copy'):
        find(copy)
    torch.save(CONTENT, copy / 'mine.pth')
    assert find(copy)[0] == 'mine.pth'


def test_names_that_a_run_may_remove():
    good = ['preempted_iter_7.pth']
    bad = ['/etc/preempted_iter_7.pth', '../preempted_iter_7.pth', 'epoch_1.pth', 'preempted_iter_7.pth\n', '', 7, None]
    assert preempted_names(good + bad) == good
    assert all(preempted_names(value) == [] for value in ('preempted_iter_7.pth', None, dict(a=1), 7))


def test_no_checkpoint_is_not_the_same_as_no_readable_one(tmp_path):
    assert find(tmp_path) == (None, [])
    (tmp_path / 'epoch_1.pth').write_bytes(b'')
    with pytest.raises(ValueError, match=r'none of the 1 checkpoints .* can be read: move them away'):
        find(tmp_path)
