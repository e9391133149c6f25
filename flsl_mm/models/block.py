"""timm's transformer block, which spends no time on samples that stochastic depth drops."""

from __future__ import annotations

from collections.abc import Callable

import torch
from timm.models.vision_transformer import Attention, Block
from torch import Tensor

from .device import to_device


class DropPathBlock(Block):
    """timm's ``Block`` whose attention and MLP see only the samples that their drop path keeps.

    timm computes a branch for every sample and multiplies the dropped ones by zero. The result is the same, each sample
    independently dropped and the others divided by the probability to be kept, for less work. Draws come from torch's
    default CPU generator, so that nothing waits for the device.
    """

    def forward(self, tokens: Tensor) -> Tensor:
        """Apply the block to tokens (B, N, C)."""
        tokens = add_branch(tokens, self.attention_branch, self.drop_rate(self.drop_path1))
        return add_branch(tokens, self.mlp_branch, self.drop_rate(self.drop_path2))

    def attention_branch(self, tokens: Tensor) -> Tensor:
        """Normalized attention of tokens (B, N, C), to be added to them."""
        # In bfloat16, torch's fused attention takes more than twice as long on a CPU as its three steps by themselves.
        plain = tokens.device.type == 'cpu' and torch.is_autocast_enabled('cpu')
        tokens = self.norm1(tokens)
        return self.ls1(plain_attention(self.attn, tokens) if plain else self.attn(tokens))

    def mlp_branch(self, tokens: Tensor) -> Tensor:
        """Normalized MLP of tokens (B, N, C), to be added to them."""
        return self.ls2(self.mlp(self.norm2(tokens)))

    def drop_rate(self, drop_path: torch.nn.Module) -> float:
        """Return the present probability of a sample to be dropped."""
        return getattr(drop_path, 'drop_prob', 0.0) if self.training else 0.0


def plain_attention(attention: Attention, tokens: Tensor) -> Tensor:
    """Apply a timm attention without dropout and norms to tokens (B, N, C) as product, softmax and product."""
    heads = attention.qkv(tokens).unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    queries, keys, values = heads.flatten(1, 2)  # (B * heads, N, C / heads)
    weights = (attention.scale * queries @ keys.mT).softmax(-1)
    mixed = (weights @ values).unflatten(0, (len(tokens), -1))
    return attention.proj(mixed.transpose(1, 2).flatten(2))


def add_branch(tokens: Tensor, branch: Callable[[Tensor], Tensor], drop_rate: float) -> Tensor:
    """Add a residual branch to a random subset of the samples (stochastic depth, arXiv 1603.09382).

    Args:
        tokens: Tokens (B, N, C).
        branch: Residual branch, of samples independent of each other.
        drop_rate: Probability of each sample to go without the branch, 0 to 1 (excluded).

    Returns:
        Tokens (B, N, C).
    """
    if drop_rate == 0:
        return tokens + branch(tokens)
    weights = (torch.rand(len(tokens)) >= drop_rate).float() / (1 - drop_rate)
    kept = weights.nonzero().flatten()
    if len(kept) == len(tokens):
        return tokens + branch(tokens) / (1 - drop_rate)
    # Distributed training stops at parameters without a gradient, so one sample goes through with weight 0.
    kept = kept if len(kept) else torch.zeros(1, dtype=torch.long)
    scale = float(weights[kept[0]])
    kept = to_device(kept, tokens.device)
    added = branch(tokens.index_select(0, kept))
    return tokens.index_add(0, kept, added.to(tokens.dtype), alpha=scale)
