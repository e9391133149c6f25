"""Every kind of file gives the features of the original at the recorded size and another, loaded as it is said."""

from types import SimpleNamespace

import pytest
import torch

import flsl_mm
from flsl_mm.checkpoint import CheckpointError
from flsl_mm.commands.export import graphs, timm_file
from flsl_mm.commands.export.check import TOLERANCE, ExportError, compare, other_hw
from flsl_mm.commands.export.graphs import traced  # a fixture replaces the one of the module
from flsl_mm.commands.export.targets import TARGETS, timm_at_other_size
from tests.builders.checkpoints import tiny

MEAN, STD = (0.5, 0.4, 0.3), (0.1, 0.2, 0.3)


@pytest.fixture(params=['offset', 'size'])
def model(request) -> flsl_mm.evaluation.features.FeatureExtractor:
    backbone = tiny(3, pos_embed='learned', pos_resize=request.param)
    torch.nn.init.normal_(backbone.pos_embed)  # so that positions weigh
    return flsl_mm.evaluation.features.FeatureExtractor(backbone.requires_grad_(False), MEAN, STD, 'tiny').eval()


def run(lines: list[str], **given) -> SimpleNamespace:
    exec('\n'.join(lines), given)
    return SimpleNamespace(**given)


def test_safetensors_says_all_that_is_needed(model, tmp_path):
    path = tmp_path / 'a.safetensors'
    assert [difference.greatest for difference in TARGETS['safetensors'].export(model, path)] == [0, 0]
    loaded = run(TARGETS['safetensors'].usage(model, path, None)).model
    assert loaded.spec == model.spec
    images = torch.rand(1, 3, 40, 33)
    torch.testing.assert_close(loaded(images), model(images), rtol=0, atol=0)


def test_timm_gives_the_same_at_the_size_it_is_for(model, tmp_path):
    path, size_hw = tmp_path / 'a.safetensors', (56, 40)
    TARGETS['timm'].export(model, path, size_hw)
    vit = run(TARGETS['timm'].usage(model, path, size_hw)).model.eval()
    assert vit.pretrained_cfg['mean'] == MEAN
    images = torch.rand(1, 3, *size_hw)
    given = vit.forward_features(model.normalize(images)).unflatten(1, (7, 5))
    assert (given - model(images)).abs().max() < TOLERANCE * model(images).abs().max()
    # Of a square size it is a file of ours too; at other sizes timm's positions are others.
    TARGETS['timm'].export(model, tmp_path / 'b.safetensors')
    assert flsl_mm.load_model(tmp_path / 'b.safetensors').spec == model.spec
    assert timm_at_other_size(model, tmp_path / 'b.safetensors', None).greatest > TOLERANCE
    with pytest.raises(CheckpointError):
        flsl_mm.load_model(path)


def test_an_export_with_other_features_is_not_kept(model, tmp_path, monkeypatch):
    resize = timm_file.resize_pos_embed
    monkeypatch.setattr(timm_file, 'resize_pos_embed', lambda *arguments: resize(*arguments) * 1.01)
    with pytest.raises(ExportError, match=r'gives other features, by .* of the greatest at 32x32 pixels'):
        TARGETS['timm'].export(model, tmp_path / 'a.safetensors')
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope='module')
def traced_once():
    """Trace a model of one block once: it takes seconds."""
    torch.manual_seed(0)
    backbone = tiny(3, arch=dict(embed_dim=16, depth=1, num_heads=2), pos_embed='learned').requires_grad_(False)
    torch.nn.init.normal_(backbone.pos_embed)
    model = flsl_mm.evaluation.features.FeatureExtractor(backbone, MEAN, STD, 'tiny').eval()
    program = graphs.traced(model, None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphs, 'traced', lambda *arguments: program)
        yield model


@pytest.mark.parametrize('kind', ['torchexport', 'onnx'])
def test_graphs_follow_the_size_of_the_image(kind, traced_once, tmp_path):
    if kind == 'onnx':
        for name in graphs.ONNX_PACKAGES:
            pytest.importorskip(name)
    model, path = traced_once, tmp_path / f'a{TARGETS[kind].suffix}'
    differences = TARGETS[kind].export(model, path)
    assert [difference.size_hw for difference in differences] == [(32, 32), other_hw(model.spec)]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    exported = (graphs.load_onnx if kind == 'onnx' else graphs.load_program)(path)
    for batch, size in ((1, (9, 100)), (3, (64, 41))):
        assert compare(model, exported, size, batch).greatest < TOLERANCE
    images = torch.rand(2, 3, 24, 40)
    lines = TARGETS[kind].usage(model, path, None)
    features = run(lines, images=images.numpy() if kind == 'onnx' else images, model=None).features
    torch.testing.assert_close(torch.as_tensor(features), model(images), rtol=0, atol=1e-5)


def test_a_graph_of_one_size_and_missing_packages(monkeypatch):
    model = flsl_mm.evaluation.features.FeatureExtractor(tiny(3, arch=dict(embed_dim=16, depth=1, num_heads=2))).eval()
    exported = traced(model, (20, 40)).module()
    assert compare(model, exported, (20, 40), batch=3).greatest < TOLERANCE
    with pytest.raises(AssertionError, match=r'size\(\)\[2\] == 20'):
        exported(torch.rand(2, 3, 24, 40))
    monkeypatch.setattr('flsl_mm.commands.export.graphs.find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r"need onnx, onnxscript, onnxruntime: pip install 'flsl_mm\[export\]'"):
        TARGETS['onnx'].ready()
