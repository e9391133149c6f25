"""tools/detectron2_train.py: training, resuming and evaluating a small detector, and one line for every mistake."""

import json
from pathlib import Path

import pytest
import torch

from flsl_mm.checkpoint import backbone_file
from flsl_mm.models import FLSLViT

pytest.importorskip('detectron2', reason='detectron2 is not installed (docs/detectron2.md says how)')

from detectron2.data import MetadataCatalog
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import Boxes, Instances

from flsl_mm.commands import convert, detectron2_train
from flsl_mm.detectron2 import scenes

CONFIG = str(Path(__file__).parents[2] / 'configs' / 'detectron2' / 'mask_rcnn_flsl_vit_t16_scenes.py')
MODEL = ['arch={embed_dim:16,depth:4,num_heads:2}', 'img_size=64', 'out_indices=[0,1,2,3]']
SMALL = [*(f'model.backbone.bottom_up.{option}' for option in MODEL), 'dataloader.train.total_batch_size=2']
OTHER = ['model.backbone.bottom_up.checkpoint=some_backbone.pth', 'model.pixel_std=[1,1,1]']
MIXED = ['model.input_format=BGR', 'dataloader.train.mapper.image_format=RGB']


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('detectron2')
    scenes(str(folder / 'scenes'), 'train', num=4, size_hw=(64, 64))
    backbone = FLSLViT(dict(embed_dim=16, depth=4, num_heads=2), patch_size=16, img_size=64)
    torch.save(backbone_file(backbone, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), folder / 'some_backbone.pth')
    return folder


@pytest.fixture(autouse=True)
def _there(monkeypatch, folder):
    monkeypatch.chdir(folder)
    monkeypatch.setenv('SCENES_ROOT', str(folder / 'scenes'))


def schedule(steps: int) -> list[str]:
    scheduler = 'lr_multiplier.scheduler'
    updates = [f'{scheduler}.milestones=[{steps - 2},{steps - 1}]', f'{scheduler}.num_updates={steps}']
    return [f'train.max_iter={steps}', 'lr_multiplier.warmup_length=0.1', 'train.log_period=1', *updates]


def test_a_detector_is_trained_resumed_evaluated_and_converted(folder, capfd):
    run = [CONFIG, *SMALL, '--work-dir', 'run']
    start = 'model.backbone.bottom_up.checkpoint=moved_backbone.pth'
    (folder / 'some_backbone.pth').rename(folder / 'moved_backbone.pth')
    assert detectron2_train.main([*run, *schedule(3), start]) == 0
    assert 'loaded 53/53 backbone tensors from moved_backbone.pth' in capfd.readouterr().out
    # What follows needs the detector's checkpoint only.
    (folder / 'moved_backbone.pth').rename(folder / 'some_backbone.pth')
    assert detectron2_train.main([*run, *schedule(5), start, '--resume']) == 0
    assert 'Starting training from iteration 3' in capfd.readouterr().out
    steps = [json.loads(line) for line in (folder / 'run' / 'metrics.json').read_text().splitlines()]
    assert {step['iteration'] for step in steps if 'total_loss' in step} == {0, 1, 2, 3, 4}
    assert 'bbox/AP' in steps[-1]
    assert detectron2_train.main([CONFIG, *SMALL, '--eval-only', 'train.init_checkpoint=run/model_final.pth']) == 0
    assert 'copypaste: Task: segm' in capfd.readouterr().out
    assert convert.main(['run/model_final.pth', 'back.pth', '--to', 'flsl']) == 0
    assert 'back.pth (flsl): state_dict 53 tensors' in capfd.readouterr().out


def test_gradients_are_clipped_together():
    hook = detectron2_train.clip_gradients(max_norm=1.0)
    model = torch.nn.Linear(2, 1)
    hook.trainer = type('Trainer', (), dict(model=model))()
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    hook.after_backward()
    norms = [parameter.grad.norm() for parameter in model.parameters()]
    assert torch.stack(norms).norm() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (['none.py'], "no config file 'none.py': "),
        ([CONFIG, 'train.max_iters=3'], "'train.max_iters=3' is not a KEY=VALUE with an entry of the config"),
        ([CONFIG, 'output'], "'output' is not a KEY=VALUE with an entry of the config"),
        ([CONFIG, '--eval-only'], '--eval-only needs the detector to evaluate: add train.init_checkpoint=PATH'),
        ([CONFIG, '--resume'], 'no checkpoint to resume from in work_dirs/mask_rcnn_flsl_vit_t16_scenes: leave out'),
        ([CONFIG, *SMALL, 'train.init_checkpoint=some_backbone.pth'], 'some_backbone.pth holds a backbone, not a'),
        ([CONFIG, *SMALL, *OTHER], 'the backbone was trained on RGB images'),
        ([CONFIG, *SMALL, *MIXED], "the mapper reads images as RGB, the model's input_format is BGR"),
    ],
)
def test_a_mistake_is_told_in_one_line_before_the_first_step(options, line, capfd):
    assert detectron2_train.main(options) == 2
    printed = capfd.readouterr()
    assert printed.err.strip().splitlines()[-1].startswith(f'error: {line}')
    assert 'iter: 0' not in printed.out


def test_other_images_are_given_where_one_insists(monkeypatch):
    monkeypatch.setattr(detectron2_train, 'train', detectron2_train.check_input)
    assert detectron2_train.main([CONFIG, *SMALL, *OTHER]) == 2
    assert detectron2_train.main([CONFIG, *SMALL, *OTHER, '--allow-other-input']) == 0


@pytest.mark.parametrize('first', [0, 1])
def test_true_boxes_score_100_whatever_the_ids_of_annotations(first, tmp_path):
    boxes = [[10.0 * number, 2, 8, 7] for number in range(3)]
    annotations = [
        dict(id=first + number, image_id=0, category_id=0, area=56, bbox=box, iscrowd=0)
        for number, box in enumerate(boxes)
    ]
    image = dict(id=0, file_name='a.jpg', height=40, width=40)
    truth = dict(images=[image], annotations=annotations, categories=[dict(id=0, name='cat')])
    (tmp_path / 'a.json').write_text(json.dumps(truth))
    MetadataCatalog.get(str(tmp_path)).json_file = str(tmp_path / 'a.json')
    evaluator = COCOEvaluator(str(tmp_path), ['bbox'], distributed=False)
    detectron2_train.number_annotations(evaluator)
    evaluator.reset()
    corners = torch.tensor([[x, y, x + width, y + height] for x, y, width, height in boxes])
    found = Instances((40, 40), pred_boxes=Boxes(corners), scores=torch.ones(3), pred_classes=torch.zeros(3).long())
    evaluator.process([dict(image_id=0)], [dict(instances=found)])
    assert evaluator.evaluate()['bbox']['AP'] == pytest.approx(100)
