"""One line from a checkpoint to features: any file, any form of image, the features that the backbone gives."""

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

import flsl_mm
from flsl_mm.checkpoint import CheckpointError, backbone_file, find_backbone
from flsl_mm.evaluation.features import FeatureExtractor, image_tensor
from flsl_mm.models.spec import IMAGENET_MEAN
from tests.builders.checkpoints import equal_states, layouts, tiny
from tests.builders.images import make_image

LAYOUTS = layouts()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'tiny.pth'
    torch.save(backbone_file(tiny(3), mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3)), path)
    return path


@pytest.mark.parametrize('layout', LAYOUTS)
def test_every_layout_loads_with_nothing_else_said(layout, tmp_path):
    content, expected, _ = LAYOUTS[layout]
    torch.save(content, tmp_path / 'a.pth')
    known = find_backbone(content).spec.num_heads  # 16 channels are no usual width
    model = flsl_mm.load_model(tmp_path / 'a.pth', **({} if known else dict(num_heads=2)))
    assert equal_states(model.backbone, expected)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ('said', 'line'),
    [
        ({}, r'a\.pth: the file does not say its number of heads .* give arch= or num_heads= .*--arch, --num-heads'),
        (dict(num_heads=3), 'not split into 3'),
        (dict(num_heads=2, patch_size=16), 'patch_size 8 in the file and 16 in the call'),
        (dict(arch='tiny'), 'embed_dim 16 in the file and 192 in the call'),
    ],
)
def test_what_is_missing_or_wrong_is_said_in_one_line(said, line, tmp_path):
    torch.save(LAYOUTS['timm'][0], tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=line) as caught:
        flsl_mm.load_model(tmp_path / 'a.pth', **said)
    assert '\n' not in str(caught.value)


def test_an_arch_says_what_the_file_does_not(tmp_path):
    torch.save(LAYOUTS['timm'][0], tmp_path / 'a.pth')
    model = flsl_mm.load_model(tmp_path / 'a.pth', arch=dict(embed_dim=16, depth=2, num_heads=4), patch_size=8)
    assert model.spec.num_heads == 4
    assert model.spec.mean == IMAGENET_MEAN  # the file does not say
    assert (model.patch_size, model.embed_dim, model.name) == (8, 16, 'a')


def test_the_student_on_request(tmp_path):
    torch.save(LAYOUTS['ours'][0], tmp_path / 'a.pth')
    model = flsl_mm.load_model(tmp_path / 'a.pth', num_heads=2, branch='student')
    assert equal_states(model.backbone, tiny(1))


def test_features_are_those_of_the_backbone(file):
    model, image = flsl_mm.load_model(file), make_image(40, 24)
    expected = tiny(3, out_type='featmap', out_indices=(0, 1))
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    normalized = (pixels - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)
    torch.testing.assert_close(model.transform(image), normalized)
    with torch.no_grad():
        first, last = (each.permute(0, 2, 3, 1) for each in expected(normalized[None]))
    batch = normalized[None]
    assert model.features(batch).shape == (1, 3, 5, 16)
    torch.testing.assert_close(model.features(batch), last)
    torch.testing.assert_close(model(pixels[None]), last)
    torch.testing.assert_close(tuple(model.features(batch, layers=(1, 0, -1))), (last, first, last))


def test_one_image_in_all_its_forms(file, tmp_path):
    model, image = flsl_mm.load_model(file), make_image(40, 24)
    image.save(tmp_path / 'a.png')
    array = np.array(image)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    expected = model.features(image)
    for form in (tmp_path / 'a.png', str(tmp_path / 'a.png'), array, tensor, tensor / 255, [image], tensor[None]):
        torch.testing.assert_close(model.features(form), expected)
    assert model.features([image, array, tensor]).shape == (3, 3, 5, 16)


def test_images_are_turned_upright(file, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    make_image(40, 24).save(tmp_path / 'a.png', exif=exif)
    upright = image_tensor(make_image(40, 24).transpose(Image.Transpose.ROTATE_270))
    assert torch.equal(image_tensor(tmp_path / 'a.png'), upright)
    with Image.open(tmp_path / 'a.png') as opened:
        assert torch.equal(image_tensor(opened), upright)


def test_resizing():
    assert image_tensor(make_image(40, 24), 12).shape == (3, 12, 20)
    assert image_tensor(make_image(40, 24), (16, 8)).shape == (3, 16, 8)
    array = np.full((10, 10, 3), 51, np.uint8)
    assert image_tensor(array, 7).unique().tolist() == pytest.approx([0.2])


@pytest.mark.parametrize(
    ('image', 'line'),
    [
        (torch.full((3, 8, 8), -0.1), 'values 0 to 1; stack normalized images'),
        (torch.zeros(8, 8, 3), r'float \(3, H, W\), RGB, got torch.float32 \(8, 8, 3\)'),
        (np.zeros((8, 8, 3)), r'uint8 \(H, W, 3\), RGB, got float64'),
        (np.zeros((8, 8), np.uint8), r'uint8 \(H, W, 3\)'),
        (3, 'got int'),
    ],
)
def test_what_is_no_image(image, line):
    with pytest.raises(ValueError, match=line):
        image_tensor(image)


def test_images_of_two_sizes_and_layers_out_of_range(file):
    model = flsl_mm.load_model(file)
    with pytest.raises(ValueError, match='one size are needed, got 24x40, 8x8'):
        model.features([make_image(40, 24), make_image(8, 8)])
    with pytest.raises(ValueError, match=r'layers \(2,\) out of range for 2 blocks'):
        model.features(make_image(8, 8), layers=[2])
    with pytest.raises(ValueError, match='layers is empty: name the blocks'):
        model.features(make_image(8, 8), layers=[])


def test_the_training_backbone_serves_as_it_is():
    """A hook looks at the run's own backbone, which returns tokens of its own choice of blocks."""
    backbone = tiny(3, out_indices=(0,))
    expected = FeatureExtractor(tiny(3))(torch.full((1, 3, 16, 16), 0.5))
    assert torch.equal(FeatureExtractor(backbone)(torch.full((1, 3, 16, 16), 0.5)), expected)


def test_the_package_has_no_other_names():
    with pytest.raises(AttributeError, match="'flsl_mm' has no attribute 'load_models'"):
        flsl_mm.load_models  # noqa: B018
