"""Checkpoints whose tensors lie on a GPU, read where there is none."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import flsl_mm
from flsl_mm.commands import embed, export
from tests.builders.checkpoints import file_of, tiny
from tests.builders.images import make_image

pytestmark = pytest.mark.gpu

WITHOUT_GPU = """
import sys
import torch
assert not torch.cuda.is_available()
from flsl_mm.commands import embed, export
file, images, out = sys.argv[1:]
code = embed.main([file, images, '--out', out + '/images.npz', '--size', '32'])
sys.exit(code or export.main([file, '--to', 'timm', '--size', '32x32', '--out', out + '/timm.safetensors']))
"""


@pytest.fixture
def file(device, tmp_path, monkeypatch):
    """Write a backbone file as a program on a GPU would that moves nothing to the CPU first."""
    backbone = tiny(3)
    content = file_of(backbone)
    content['state_dict'] = {name: tensor.to(device) for name, tensor in backbone.state_dict().items()}
    with monkeypatch.context() as patch:
        if device == 'cpu':  # without a GPU, the file says all the same that its tensors were on one
            patch.setattr(torch.serialization, 'location_tag', lambda storage: 'cuda:0')
        torch.save(content, tmp_path / 'gpu_backbone.pth')
    assert b'cuda:0' in (tmp_path / 'gpu_backbone.pth').read_bytes()
    return tmp_path / 'gpu_backbone.pth'


def test_embed_and_export_of_a_file_from_a_gpu(device, file, tmp_path, monkeypatch):
    images = tmp_path / 'images'
    images.mkdir()
    for number in range(3):
        make_image(seed=number).save(images / f'{number}.png')
    if device == 'cpu':
        assert embed.main([str(file), str(images), '--out', str(tmp_path / 'images.npz'), '--size', '32']) == 0
        command = [str(file), '--to', 'timm', '--size', '32x32', '--out', str(tmp_path / 'timm.safetensors')]
        assert export.main(command) == 0
    else:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
        subprocess.run([sys.executable, '-c', WITHOUT_GPU, str(file), str(images), str(tmp_path)], check=True)
    torch.testing.assert_close(flsl_mm.load_model(file).backbone.state_dict(), tiny(3).state_dict(), rtol=0, atol=0)
    assert np.load(tmp_path / 'images.npz')['mean'].shape == (3, 16)
    assert (tmp_path / 'timm.safetensors').is_file()
