"""Whole models from files: every tensor or none, but for layers of other classes; and what a run is continued from."""

import copy
from functools import partial

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from flsl_mm.checkpoint import CheckpointError, check_strict, class_tensors, read_checkpoint
from flsl_mm.checkpoint.strict import check_optimizer, check_resumable, start_anew
from tests.builders.checkpoints import ARCH, tiny


def test_a_file_to_evaluate_must_hold_the_whole_model(tmp_path):
    model, path = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), tmp_path / 'a.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    assert check_strict(model, path) == []
    check_strict(nn.ModuleDict({'module': model}), path)  # as wrapped for several processes
    for name, tensor, problem in (
        ('0.weight', torch.zeros(3, 3), r'\(3, 3\) instead of \(3, 2\)'),
        ('0.weight', torch.zeros(3, 2, dtype=torch.int8), 'of type torch.int8 instead of torch.float32'),
        ('1.running_mean', None, 'missing'),
        ('1.num_batches_tracked', torch.tensor(1.0), 'of type torch.float32 instead of torch.int64'),
    ):
        torch.save(dict(state_dict=model.state_dict() | {name: tensor}), path)
        with pytest.raises(CheckpointError, match=rf'1 of 7 tensors are missing or .*, {name} for one \({problem}\)'):
            check_strict(model, path)


def test_heads_of_the_file_count(tmp_path):
    """Two heads and four have the same tensors."""
    model = nn.ModuleDict(dict(backbone=tiny(1)))
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'a.pth')
    check_strict(nn.ModuleDict(dict(backbone=tiny(2, pos_resize='size'))), tmp_path / 'a.pth')
    other = nn.ModuleDict(dict(backbone=tiny(2, arch={**ARCH, 'num_heads': 4})))
    with pytest.raises(CheckpointError, match='num_heads 2 in the file and 4 in the config, of backbone'):
        check_strict(other, tmp_path / 'a.pth')


@MODELS.register_module()
class ToyDetector(nn.Module):
    """A body, a head with a score for each class and background, and boxes for each class of several anchors."""

    def __init__(self, head: dict, width: int = 4) -> None:
        super().__init__()
        num_classes = head['num_classes']
        self.body, self.extra = nn.Linear(3, width), nn.Linear(width, 3)
        self.scores, self.boxes = nn.Linear(width, num_classes + 1), nn.Linear(width, 3 * 4 * num_classes)


CONFIG = dict(type='ToyDetector', head=dict(num_classes=2))


def toy(**head) -> tuple[nn.Module, dict]:
    config = copy.deepcopy(CONFIG)
    config['head'].update(head)
    return MODELS.build(config), config


def test_layers_of_other_classes_start_anew():
    source, _ = toy()
    model, config = toy(num_classes=5)
    own = copy.deepcopy(model.state_dict())
    random = torch.get_rng_state()
    state = {f'module.{name}': tensor for name, tensor in source.state_dict().items()}
    anew = check_strict(model, dict(state_dict=state), class_tensors=partial(class_tensors, model, config))
    assert anew == ['scores.weight', 'scores.bias', 'boxes.weight', 'boxes.bias']
    assert torch.equal(torch.get_rng_state(), random)
    line = start_anew(model, state, anew)
    assert line == 'the file has another number of classes: scores, boxes start anew, everything else is loaded'
    model.load_state_dict({name.removeprefix('module.'): tensor for name, tensor in state.items()})
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, own[name] if name in anew else source.state_dict()[name])


def test_other_classes_where_no_training_starts():
    model, config = toy(num_classes=5)
    options = dict(class_tensors=partial(class_tensors, model, config), training_starts=False)
    check_strict(model, model.state_dict(), **options)
    with pytest.raises(CheckpointError, match=r'of another number of classes, in scores, boxes: .* --load-from'):
        check_strict(model, toy()[0].state_dict(), **options)


def test_everything_else_must_match():
    source, _ = toy()
    model, config = toy(num_classes=5)
    for name, tensor in (
        ('extra.weight', torch.zeros(9, 4)),  # an output, but not of classes
        ('scores.weight', torch.zeros(3, 9)),  # of classes, but of another width
        ('boxes.bias', torch.zeros(24, dtype=torch.int64)),
    ):
        state = source.state_dict() | {name: tensor}
        with pytest.raises(CheckpointError, match=rf'1 of 8 tensors .*, {name} for one'):
            check_strict(model, state, class_tensors=partial(class_tensors, model, config))
    with pytest.raises(CheckpointError, match=r'4 of 8 tensors .*, scores\.weight for one'):
        check_strict(model, source.state_dict())
    assert class_tensors(model, None) == class_tensors(model, dict(config, type='Unknown')) == {}


HEADS = {
    'Mask R-CNN': ('roi_head.bbox_head.fc_cls', 'roi_head.bbox_head.fc_reg', 'roi_head.mask_head.conv_logits'),
    'RetinaNet': ('bbox_head.retina_cls',),
    'DINO': ('bbox_head.cls_branches.0', 'bbox_head.cls_branches.1', 'dn_query_generator.label_embedding'),
}


@pytest.mark.parametrize('name', HEADS)
def test_the_layers_of_detectors(name):
    pytest.importorskip('mmdet')
    from tests.builders.detectors import DETECTORS, build

    names = class_tensors(build(name), Config(dict(model=DETECTORS[name]())).model)
    assert {name.rpartition('.')[0] for name in names} == set(HEADS[name])


def test_the_layers_of_a_segmentor(tmp_path):
    pytest.importorskip('mmseg')
    from tests.builders.segmentors import tiny_config

    cfg = tiny_config(tmp_path, tmp_path / 'work')
    init_default_scope('mmseg')
    names = class_tensors(MODELS.build(cfg.model), cfg.model)
    assert names == {f'decode_head.conv_seg.{name}': [0] for name in ('weight', 'bias')}


def test_the_optimizer_has_the_models_parameters():
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=1)
    check_optimizer(model, optimizer.param_groups)
    model.weight = nn.Parameter(torch.ones(2, 2))
    with pytest.raises(CheckpointError, match="1 of the optimizer's 2 parameters are not the model's"):
        check_optimizer(model, optimizer.param_groups)


def resumable(**changes) -> dict:
    hub = dict(log_scalars={'train/loss': HistoryBuffer([1.0], [1])}, runtime_info={}, resumed_keys={})
    content = dict(meta=dict(epoch=1, iter=6, seed=3), state_dict={}, message_hub=hub, optimizer={})
    for path, value in changes.items():
        *parents, name = path.split('__')
        place = content
        for parent in parents:
            place = place[parent]
        place[name] = value
    return content


WRONG = [
    dict(meta__iter=10**30),
    dict(meta__iter=-1),
    dict(meta__iter=5, message_hub__runtime_info=dict(epoch_length=6)),
    dict(meta__iter=13, message_hub__runtime_info=dict(epoch_length=6)),
    dict(optimizer=dict(state={0: dict(exp_avg_sq=torch.tensor([1.0, -1.0]))})),
    dict(meta__epoch='3'),
    dict(meta__seed=1.5),
    dict(meta=[]),
    dict(optimizer=None),
    dict(message_hub__log_scalars={f'loss{number}': HistoryBuffer([1.0], [1]) for number in range(2000)}),
    dict(message_hub__log_scalars={'loss': [1.0]}),
    dict(message_hub__runtime_info={1: 2}),
]


@pytest.mark.parametrize('changes', WRONG, ids=[next(iter(changes)) for changes in WRONG])
def test_what_a_run_is_continued_from(changes, tmp_path):
    check_resumable(resumable())
    torch.save(resumable(**changes), tmp_path / 'a.pth')
    path = next(iter(changes)).replace('__', r'\.')
    with pytest.raises(CheckpointError, match=rf'a\.pth has an unusable {path}: no run can be continued from it'):
        check_resumable(read_checkpoint(tmp_path / 'a.pth'), str(tmp_path / 'a.pth'))
