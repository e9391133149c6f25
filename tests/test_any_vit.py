"""Every evaluation takes timm's vision transformers: the table of docs/any_vit.md, on tiny models of random weights."""

import numpy as np
import pytest
import torch

from flsl_mm.checkpoint import CheckpointError
from flsl_mm.commands import embed, evaluate, visualize
from flsl_mm.evaluation.features import FeatureExtractor, load_timm_model
from flsl_mm.evaluation.probes import ScenesProbe, measure, trivial_sources
from flsl_mm.visualization.clusters import mean_shift_clusters
from tests.builders.checkpoints import file_of, tiny
from tests.builders.images import make_image
from tests.builders.timm_families import FAMILIES, TINY, every_family, tiny_config, tiny_timm


@pytest.fixture
def tiny_models(monkeypatch):
    """Have timm build every model tiny, whatever its name."""
    import timm

    create = timm.create_model
    monkeypatch.setattr(timm, 'create_model', lambda name, **options: create(name, **{**TINY, **options}))


@every_family
def test_probes_and_their_zeros(name):
    backbone = tiny_timm(name)
    size = 8 * backbone.patch_size
    probe = ScenesProbe(2, size)
    model = FeatureExtractor(backbone.requires_grad_(False), **backbone.published_input, name='ours').eval()
    table = measure(probe, [model], trivial_sources(model.spec, seeds=1))
    for row in table['rows']:
        values = [row['columns'][column]['value'] for column in ('ours', 'random weights', 'position alone')]
        assert all(0 <= value <= 1 for value in values)
    assert model.features(np.zeros((size, size, 3), np.uint8)).shape == (1, 8, 8, 32)
    assert mean_shift_clusters(model.features(probe.images[0])[0], 20.0).shape == (8, 8)


@every_family
def test_video_propagation(name):
    pytest.importorskip('mmengine')
    from flsl_mm.vos.propagator import FLSLLabelPropagator
    from tests.builders.davis_tree import COLORS, moving_squares

    torch.manual_seed(0)
    config = dict(tiny_config(name, stride=16), init_cfg=None)
    model = FLSLLabelPropagator(config, **tiny_timm(name).published_input, progress=False).eval()
    masks = moving_squares(3, (1, 2))
    item = dict(video='v', index=0, count=1, frames=COLORS[masks], masks=masks)
    (result,) = model(mode='predict', **{key: [value] for key, value in item.items()})
    assert result['predictions'].shape == masks.shape
    assert set(np.unique(result['predictions'])) <= {0, 1, 2}


@every_family
def test_detector_trains_and_predicts(name):
    pytest.importorskip('mmdet')
    from mmdet.testing import demo_mm_inputs
    from mmengine.config import ConfigDict
    from mmengine.registry import MODELS, init_default_scope

    from flsl_mm.detection.check_hook import check_strides
    from tests.builders.detectors import DETECTORS, NUM_CLASSES
    from tests.detection.test_drop_in import training_step

    torch.manual_seed(0)
    config = DETECTORS['Mask R-CNN']()
    config['backbone'] = tiny_config(name, stride=16, out_indices=(0, 0, 1, 1), final_norm=False)
    for neck in config['neck']:
        neck['in_channels'] = 32 if isinstance(neck['in_channels'], int) else [32] * 4
    init_default_scope('mmdet')
    model = MODELS.build(ConfigDict(config))
    check_strides(model)
    batch = demo_mm_inputs(1, (3, 90, 100), num_items=[2], num_classes=NUM_CLASSES, with_mask=True)
    training_step(model, batch)
    result = model.eval().test_step(batch)[0].pred_instances
    assert result.masks.shape[-2:] == (90, 100)


def test_evaluate_takes_a_model_of_timm(tiny_models, tmp_path, capsys):
    name = FAMILIES['DINOv2']
    torch.save(tiny_timm(name, seed=3).vit.state_dict(), tmp_path / 'dinov2.pth')
    run = ('--num-scenes', '2', '--random-seeds', '1', '--device', 'cpu')
    assert evaluate.main([f'timm:{name}={tmp_path}/dinov2.pth', f'timm:{FAMILIES["MAE"]}=none', *run]) == 0
    dinov2, mae = capsys.readouterr().out.rstrip().split('\n\n')
    assert dinov2.splitlines()[0] == f'{name}: 32 channels, 2 blocks, patches of 14 pixels, positions 37x37'
    assert dinov2.splitlines()[1].split()[:3] == ['dinov2', 'random', 'weights']
    assert mae.splitlines()[0].startswith(FAMILIES['MAE'])
    assert mae.splitlines()[1].split()[:2] == ['random', 'weights']


def test_pictures_and_embeddings_of_a_model_of_timm(tiny_models, tmp_path):
    """Beside random weights of the same network, and beside FLSL's own backbone of another patch size."""
    name = FAMILIES['DINOv2 with registers']
    torch.save(tiny_timm(name, seed=3).vit.state_dict(), tmp_path / 'dinov2.pth')
    torch.save(file_of(tiny(5)), tmp_path / 'flsl.pth')
    (tmp_path / 'in').mkdir()
    make_image(40, 32).save(tmp_path / 'in/a.png')
    file, small = f'timm:{name}={tmp_path}/dinov2.pth', ['--device', 'cpu', '--long-side', '42']
    look = [file, str(tmp_path / 'in'), '--out', str(tmp_path / 'out'), *small]
    assert visualize.main(look) == 0
    assert visualize.main([*look, '--against', str(tmp_path / 'flsl.pth')]) == 0
    page = (tmp_path / 'out/index.html').read_text(encoding='utf-8')
    assert 'dinov2: 32 channels, 2 blocks, patches of 14 pixels' in page
    assert 'flsl: 16 channels, 2 blocks, patches of 8 pixels' in page
    assert embed.main([file, str(tmp_path / 'in'), '--out', str(tmp_path / 'a.npz'), '--device', 'cpu']) == 0
    assert np.load(tmp_path / 'a.npz')['mean'].shape == (1, 32)


@pytest.mark.parametrize(
    ('argument', 'line'),
    [
        ('timm:vit_small_patch16_224.dino', 'does not say which weights: timm:vit_small_patch16_224.dino=FILE, =none'),
        ('timm:vit_smal=none', "has no model 'vit_smal'"),
        ('timm:vit_small_patch16_224.dino=missing.pth', 'missing.pth'),
        ('timm:vit_small_patch14_dinov2.lvd142m=dino.pth', 'patches of 16 pixels in the file and of 14 in the model'),
    ],
)
def test_mistakes_are_one_line(argument, line, tiny_models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save(tiny_timm(FAMILIES['DINO']).vit.state_dict(), 'dino.pth')
    assert evaluate.main([argument, '--device', 'cpu']) == 2
    errors = capsys.readouterr().err
    assert line in errors
    assert len(errors.splitlines()) == 1


def test_a_model_from_python(tiny_models, tmp_path):
    name = FAMILIES['SigLIP']
    torch.save(tiny_timm(name, seed=3).vit.state_dict(), tmp_path / 'siglip.pth')
    model = load_timm_model(name, tmp_path / 'siglip.pth')
    assert (model.name, model.spec.mean, model.spec.std) == ('siglip', (0.5,) * 3, (0.5,) * 3)
    assert torch.equal(model.backbone.vit.norm.weight, tiny_timm(name, seed=3).vit.norm.weight)
    assert load_timm_model(name).name == f'{name} random'
    with pytest.raises(ValueError, match='not both'):
        load_timm_model(name, tmp_path / 'siglip.pth', pretrained=True)
    with pytest.raises(CheckpointError, match='patches of 16'):
        load_timm_model(FAMILIES['DINOv2'], tmp_path / 'siglip.pth')
