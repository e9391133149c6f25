"""The model: tracking, memory, what it refuses, and the recorded clip of real frames."""

import os

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from flsl_mm.checkpoint import CheckpointError, backbone_file
from flsl_mm.models.spec import IMAGENET_MEAN, IMAGENET_STD
from flsl_mm.vos import propagator
from flsl_mm.vos.dataset import DAVISDataset
from flsl_mm.vos.measures import contour_accuracy, region_similarity
from flsl_mm.vos.propagator import FLSLLabelPropagator, load_weights, resize_nearest
from tests.builders import reference
from tests.builders.davis_tree import COLORS, moving_squares

TOY = dict(type='ToyColorBackbone')
VIT = dict(type='FLSLViT', arch=dict(embed_dim=48, depth=1, num_heads=3), img_size=32)


def toy_model(**options) -> FLSLLabelPropagator:
    return FLSLLabelPropagator(**dict(dict(backbone=TOY, progress=False), **options)).eval()


def item_of(masks: np.ndarray, entries: dict | None = None) -> dict:
    return dict(video='v', index=0, count=1, frames=COLORS[masks], masks=masks) | (entries or {})


def vit_of(state: dict[str, torch.Tensor]) -> dict:
    patch_size = state['patch_embed.proj.weight'].shape[-1]
    img_size = patch_size * round(state['pos_embed'].shape[1] ** 0.5)
    return dict(type='FLSLViT', arch=reference.arch_of(state), patch_size=patch_size, img_size=img_size)


def assert_same_cells(predictions: np.ndarray, masks: np.ndarray) -> None:
    """Masks agree at the middle of every cell, and everywhere but at corners, which bilinear labels round."""
    np.testing.assert_array_equal(predictions[:, 4::8, 4::8], masks[:, 4::8, 4::8])
    assert (predictions != masks).mean() < 0.005


@pytest.mark.recorded
def test_recorded_davis_clip():
    root = os.environ.get('FLSL_DAVIS_ROOT')
    if root is None:
        pytest.skip('FLSL_DAVIS_ROOT is not set: it names the DAVIS-2016 tree with the frames of the recording')
    recorded = reference.load('davis_clip')
    num_predicted, _, width = recorded['shape']
    expected = np.unpackbits(recorded['masks'], axis=-1, count=int(width)).astype(bool)
    item = DAVISDataset(root, year=2016, videos=[str(recorded['sequence'])])[0]
    count = int(num_predicted) + 1
    item = dict(item, frames=item['frames'][:count], masks=item['masks'][:count])
    state = reference.official_part('teacher', 'backbone')
    model = toy_model(backbone=vit_of(state))
    model.backbone.load_state_dict(state)
    predictions = model.predict(item)['predictions'][1:] > 0
    np.testing.assert_array_equal(predictions, expected)
    pairs = list(zip(predictions, item['masks'][1:] > 0, strict=True))
    for name, measure in (('J', region_similarity), ('F', contour_accuracy)):
        np.testing.assert_allclose([measure(*pair) for pair in pairs], recorded[name], atol=2e-3, rtol=0)


def test_objects_are_tracked():

    masks = moving_squares(8, (3, 1))
    result = toy_model().predict(item_of(masks))
    assert_same_cells(result['predictions'], masks)
    assert result['predictions'].dtype == np.uint8
    assert (result['video'], result['index']) == ('v', 0)
    # Id 2 was named by no pixel, now by one that no cell samples: it is never found.
    masks[0, 60, 1] = 2

    predictions = toy_model().predict(item_of(masks))['predictions']
    assert set(np.unique(predictions[1:])) == {0, 1, 3}
    np.testing.assert_array_equal(predictions[0], masks[0])
    # Masks have the size of the file; four pixels of six are at 0.75, 2.25, 3.75, 5.25.
    assert resize_nearest(np.arange(6, dtype=np.uint8)[None], (1, 4)).tolist() == [[0, 2, 3, 5]]
    large = masks.repeat(2, axis=1).repeat(2, axis=2)
    result = toy_model().predict(item_of(masks, dict(masks=large)))
    assert result['predictions'].shape == large.shape
    assert region_similarity(result['predictions'][3] == 1, large[3] == 1) > 0.95
    # Errors pass through to the metric.
    result = toy_model().predict(dict(video='v', index=3, count=4, error='no first mask'))
    assert result == dict(video='v', index=3, error='no first mask')


def test_an_object_that_vanishes_and_returns():
    """It is found again from the first frame, which always is in the context."""
    masks = moving_squares(14, (1, 2))
    masks[3:12][masks[3:12] == 2] = 0
    predictions = toy_model(previous_frames=2, radius=None).predict(item_of(masks))['predictions']
    assert_same_cells(predictions, masks)


@pytest.mark.parametrize('previous_frames', [0, 1, 3])
def test_context_is_the_first_frame_and_the_last_ones(monkeypatch, previous_frames):
    seen = []
    original = propagator.propagate_labels

    def spy(queries, keys, labels, *settings):
        seen.append([key.sum().item() for key in keys])
        return original(queries, keys, labels, *settings)

    monkeypatch.setattr(propagator, 'propagate_labels', spy)
    masks = moving_squares(6, (1,))
    frames = [np.full((64, 128, 3), 20 * t, np.uint8) for t in range(6)]
    model = toy_model(previous_frames=previous_frames)
    sums = [model.extract(frame).sum().item() for frame in frames]
    list(model.segment(frames, masks[0]))
    expected = [[sums[0], *sums[1:t][max(0, t - 1 - previous_frames) :]] for t in range(1, 6)]
    assert seen == expected


def test_features_are_normalized_pixels():
    """RGB in 0..1, less the mean, over the standard deviation (red: 0.228), at unit length."""
    color = np.array([200, 100, 50], np.uint8)
    features = toy_model().extract(np.tile(color, (64, 128, 1)))
    expected = (color / 255 - [0.485, 0.456, 0.406]) / [0.228, 0.224, 0.225]
    assert features.shape == (8, 16, 3)
    np.testing.assert_allclose(features[3, 5], expected / np.linalg.norm(expected), atol=1e-5)


def test_protocol():
    protocol = toy_model(backbone=dict(type='FLSLViT', arch='tiny', pos_resize='size')).protocol((480, 832))
    expected = dict(short_side=480, window='25x25 patches', context='first frame and 7 before', topk=5)
    expected |= dict(temperature=0.1, position_resize='size', dtype='float32')
    assert protocol == expected | dict(input_mean=[0.485, 0.456, 0.406], input_std=[0.228, 0.224, 0.225])
    assert toy_model(radius=None).protocol((480, 832))['window'] == 'whole frame'


def test_bfloat16_computes_features_in_bfloat16():
    torch.manual_seed(0)
    model = toy_model(backbone=VIT, dtype='bfloat16')
    seen = []
    model.backbone.blocks[0].mlp.fc1.register_forward_hook(lambda module, args, out: seen.append(out.dtype))
    frame = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    rough = model.extract(frame)
    assert seen == [torch.bfloat16]
    assert rough.dtype == torch.float32
    model.dtype = 'float32'
    exact = model.extract(frame)
    assert seen[1:] == [torch.float32]
    assert 0.99 < (rough * exact).sum(-1).min() < 1


def test_threads_do_not_change_masks():
    masks = moving_squares(6, (1, 2))
    noise = np.random.default_rng(0).integers(0, 120, (*masks.shape, 3), dtype=np.uint8)
    item = item_of(masks, dict(frames=COLORS[masks] // 2 + noise))
    torch.manual_seed(0)
    model = toy_model(backbone=dict(VIT, patch_size=8))
    threads, results = torch.get_num_threads(), []
    for count in (1, 2):
        torch.set_num_threads(count)
        results.append(model.predict(item)['predictions'])
    torch.set_num_threads(threads)
    np.testing.assert_array_equal(*results)


def test_other_backbones():
    """One map instead of a tuple is fine; tokens, or a map that does not divide the frame, are refused."""
    item = item_of(moving_squares(3, (1,)))
    model = toy_model()
    model.backbone.forward = lambda images: images[:, :, 4::8, 4::8]
    assert_same_cells(model.predict(item)['predictions'], item['masks'])
    model.backbone.forward = lambda images: images[:, :, :60, :100]
    with pytest.raises(ValueError, match='a 128x64 frame gives features of shape'):
        model.predict(item)
    model = toy_model(backbone=dict(type='FLSLViT', arch='tiny', out_type='tokens'))
    with pytest.raises(ValueError, match='check out_type'):
        model.predict(item)


def test_weights_of_other_backbones(tmp_path):
    """The file's keys with or without `backbone.`; other parts of the model are left aside, misfits raise."""
    scale = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    path = str(tmp_path / 'a.pth')
    for content in (dict(scale=scale), dict(state_dict={'backbone.scale': scale, 'head.weight': torch.ones(2)})):
        torch.save(content, path)
        assert torch.equal(toy_model(checkpoint=path).backbone.scale, scale)
    torch.save(dict(scales=scale), path)
    with pytest.raises(CheckpointError, match=r'a.pth does not fit ToyColorBackbone: .*missing: scale') as raised:
        toy_model(checkpoint=path)
    assert '\n' not in str(raised.value)


def test_a_backbone_of_others_gets_all_weights_or_none(tmp_path):
    backbone = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    changed = {name: tensor + 1 for name, tensor in before.items()}
    for unfit in (torch.ones(3), torch.ones(2, dtype=torch.int8), torch.full((2,), 1e300, dtype=torch.float64)):
        torch.save(changed | {'1.bias': unfit}, tmp_path / 'a.pth')
        with pytest.raises(CheckpointError, match=r'1 of 4 backbone tensors do not fit|not finite'):
            load_weights(backbone, str(tmp_path / 'a.pth'))
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
    torch.save(changed, tmp_path / 'a.pth')
    load_weights(backbone, str(tmp_path / 'a.pth'))
    assert all(torch.equal(tensor, changed[name]) for name, tensor in backbone.state_dict().items())


def test_weights_of_init_cfg(tmp_path):
    """Without a checkpoint the backbone's init_cfg loads; with one, the checkpoint alone counts."""
    vit = dict(VIT, pos_embed='learned')
    for value in (1.0, 2.0):
        state = {key: torch.full_like(tensor, value) for key, tensor in MODELS.build(vit).state_dict().items()}
        torch.save(dict(state_dict=state), tmp_path / f'{value}.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / '1.0.pth'))
    for checkpoint, expected in ((None, 1), (str(tmp_path / '2.0.pth'), 2)):
        backbone = toy_model(backbone=dict(vit, init_cfg=init_cfg), checkpoint=checkpoint).backbone
        assert all((tensor == expected).all() for tensor in backbone.state_dict().values())


def test_other_colors_than_those_of_the_backbone_are_refused(tmp_path):
    """A backbone file records its mean and std; the original's red, 0.228, counts as ImageNet's 0.229."""
    backbone, options = MODELS.build(VIT), dict(backbone=VIT, checkpoint=str(tmp_path / 'a.pth'))
    torch.save(backbone_file(backbone, mean=IMAGENET_MEAN, std=IMAGENET_STD), tmp_path / 'a.pth')
    toy_model(**options)
    torch.save(backbone_file(backbone, mean=(0.5,) * 3, std=(0.5,) * 3), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'mean \[0.5, 0.5, 0.5\].* would get RGB of mean \[0.485.*allow_other_input'):
        toy_model(**options)
    toy_model(**options, allow_other_input=True)
    toy_model(**options, mean=(0.5,) * 3, std=(0.5,) * 3)


@pytest.mark.recorded
def test_weights_of_official_checkpoints():
    state = reference.official_part('teacher', 'backbone')
    model = toy_model(backbone=vit_of(state), checkpoint=str(reference.FOLDER / 'official_checkpoint.pth'))
    loaded = model.backbone.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


@pytest.mark.parametrize(
    'options', [dict(dtype='float16'), dict(topk=0), dict(temperature=0), dict(radius=-1), dict(previous_frames=-1)]
)
def test_arguments(options):
    with pytest.raises(ValueError, match=r'dtype must be|label propagation needs'):
        toy_model(**options)
    with pytest.raises(ValueError, match='only predicts'):
        toy_model()(mode='loss', video=['v'])


def test_a_backbone_that_has_its_weights(capsys):

    backbone = MODELS.build(TOY)
    model = FLSLLabelPropagator(backbone, progress=False)
    assert model.backbone is backbone
    assert 'no checkpoint' not in capsys.readouterr().out
    frame = COLORS[moving_squares(1, (1,))[0]]
    assert torch.equal(model.extract(frame), toy_model().extract(frame))
