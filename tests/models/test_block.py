"""The transformer block: timm's results, without work for dropped samples."""

import pytest
import torch
from timm.models.vision_transformer import Attention, Block

from flsl_mm.models.block import DropPathBlock, add_branch, plain_attention


def test_equals_timm_without_drop_path():
    torch.manual_seed(0)
    ours, theirs = DropPathBlock(16, 2, init_values=0.1), Block(16, 2, init_values=0.1)
    theirs.load_state_dict(ours.state_dict())
    tokens = torch.randn(3, 5, 16)
    torch.testing.assert_close(ours(tokens), theirs(tokens))


@pytest.mark.parametrize('drop_path', [0.3, 0.9])
def test_drops_as_timm_does(drop_path):
    """Each sample's branch is left out or divided by the probability to be kept, gradients too."""
    torch.manual_seed(0)
    ours, theirs = DropPathBlock(16, 2, drop_path=drop_path).train(), Block(16, 2, drop_path=drop_path).train()
    theirs.load_state_dict(ours.state_dict())
    tokens = torch.randn(64, 5, 16)

    torch.manual_seed(1)
    draws = [(torch.rand(64) >= drop_path).float() for _ in range(2)]
    for path, kept in zip((theirs.drop_path1, theirs.drop_path2), draws, strict=True):
        path.forward = lambda x, kept=kept: x * kept.view(-1, 1, 1) / (1 - drop_path)

    results = []
    for block in (ours, theirs):
        torch.manual_seed(1)
        inputs = tokens.clone().requires_grad_()
        output = block(inputs)
        output.square().sum().backward()
        results.append([output, inputs.grad, block.attn.qkv.weight.grad, block.mlp.fc2.bias.grad])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)
    assert 0 < draws[0].sum() < 64


def test_rate_of_kept_samples_and_mean():
    torch.manual_seed(0)
    seen = []

    def branch(tokens):
        seen.append(len(tokens))
        return torch.ones_like(tokens)

    out = torch.stack([add_branch(torch.zeros(100, 1, 1), branch, 0.2) for _ in range(100)])
    assert out.unique().tolist() == [0, 1.25]
    # 10,000 samples: three standard deviations are 0.012 of the rate.
    assert abs(sum(seen) / 10000 - 0.8) < 0.012
    assert abs(out.mean() - 1) < 0.015


def test_every_parameter_gets_a_gradient_when_all_samples_are_dropped():
    torch.manual_seed(0)
    block = DropPathBlock(16, 2, drop_path=0.999).train()
    tokens = torch.randn(1, 5, 16)
    output = block(tokens)
    assert torch.equal(output, tokens)
    output.sum().backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in block.parameters())


def test_no_drop_path_in_evaluation():
    block = DropPathBlock(16, 2, drop_path=0.9).eval()
    tokens = torch.randn(4, 5, 16)
    assert torch.equal(block(tokens), block(tokens))


def test_plain_attention_is_timms():
    torch.manual_seed(0)
    attention = Attention(12, num_heads=3, qkv_bias=True)
    tokens = torch.randn(2, 5, 12)
    torch.testing.assert_close(plain_attention(attention, tokens), attention(tokens))


def test_under_autocast_on_the_cpu_the_block_computes_the_same_in_bfloat16():
    torch.manual_seed(0)
    block = DropPathBlock(12, num_heads=3).eval()
    tokens = torch.randn(2, 5, 12)
    expected = block(tokens)
    called = []
    block.attn.register_forward_hook(lambda *args: called.append(args))
    with torch.autocast('cpu', torch.bfloat16):
        torch.testing.assert_close(block(tokens), expected, atol=0.02, rtol=0)
    assert not called, "not through timm's, whose fused attention is slow there"
