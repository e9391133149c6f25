"""torch.compile behind its switch: the same training up to rounding."""

import copy
import shutil

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from flsl_mm.engine.hooks import FLSLCompileHook
from flsl_mm.engine.hooks.compile import compile_blocks
from flsl_mm.models import FLSLViT
from tests.builders.toy_flsl import toy_model
from tests.builders.toy_run import toy_runner

BACKENDS = ['aot_eager', pytest.param('inductor', marks=pytest.mark.skipif(not shutil.which('c++'), reason='no C++'))]


@pytest.fixture(autouse=True)
def no_compiled_code_of_other_tests():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.slow
@pytest.mark.parametrize('backend', BACKENDS)
def test_same_training(tmp_path, backend):
    """Drop path (0.2), two view sizes and the EMA teacher included; two epochs of four steps."""
    ends = []
    for name, hooks in (('plain', []), ('compiled', [FLSLCompileHook(backend=backend)])):
        torch.manual_seed(0)
        runner = toy_runner(tmp_path / name, hooks)
        runner.train()
        losses = torch.tensor(runner.message_hub.get_scalar('train/loss').data[0])
        ends.append(runner.model.state_dict() | dict(losses=losses))
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-3, atol=1e-4)


def test_blocks_of_one_shape_share_their_code(tmp_path):
    """The compiler gives up compiling after 8 variants: two branches, student views of two sizes, teacher."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    arch = dict(embed_dim=16, depth=6, num_heads=2)
    runner = toy_runner(tmp_path, [FLSLCompileHook(backend=backend)], model=toy_model(backbone=dict(arch=arch)))
    runner.train()
    assert 2 * 2 < len(graphs) <= 2 * 6


ARCH = dict(embed_dim=16, depth=2, num_heads=2)


@pytest.mark.parametrize(
    'make',
    [
        lambda: FLSLViT(arch=ARCH, patch_size=8, img_size=16, out_type='tokens'),
        lambda: VisionTransformer(img_size=16, patch_size=8, num_classes=0, **ARCH),
    ],
    ids=['ours', 'timm'],
)
def test_copies_compute_with_their_own_weights(make):
    """Deep copies, as MMEngine's EMAHook makes them; names in checkpoints are the model's."""
    torch.manual_seed(0)
    plain, compiled = make().eval(), make().eval()
    compile_blocks(compiled, backend='aot_eager')
    image = torch.randn(1, 3, 16, 16)
    compiled(image)
    copied = copy.deepcopy(compiled)
    copied.load_state_dict(plain.state_dict())
    assert list(copied.state_dict()) == list(plain.state_dict())
    torch.testing.assert_close(copied(image), plain(image))
    plain.load_state_dict(compiled.state_dict())
    torch.testing.assert_close(compiled(image), plain(image))


def test_model_without_blocks():
    with pytest.raises(ValueError, match='no transformer blocks'):
        compile_blocks(nn.Linear(2, 2))
