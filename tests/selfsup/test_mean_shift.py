"""Mean shift: by hand, as recorded, and as properties."""

import math

import pytest
import torch

from flsl_mm.selfsup.mean_shift import anchored_queries, attention, mean_shift, stage_attention
from flsl_mm.selfsup.queries import gather_queries, token_places
from tests.builders.reference import load


def test_mean_shift_by_hand():
    tokens = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    query = torch.tensor([[[1.0, 0.0]]])
    # logits 2*1 and 2*0, the scale being divided by the root of the width: weights e^2 / (e^2 + 1) and 1 / (e^2 + 1)
    share = math.e**2 / (math.e**2 + 1)
    torch.testing.assert_close(mean_shift(query, tokens, 2.0 * 2**0.5), torch.tensor([[[share, 1 - share]]]))


def test_scale_means_the_same_at_any_width():
    torch.manual_seed(0)
    query, tokens = torch.randn(1, 4, 16), torch.randn(1, 9, 16)
    # Of four times the channels, the products are twice as large, and so is the root of the width.
    wide_query, wide_tokens = (part.repeat(1, 1, 4) / 2**0.5 for part in (query, tokens))
    torch.testing.assert_close(attention(wide_query, wide_tokens, 0.7), attention(query, tokens, 0.7))


def test_mixture_by_hand():
    tokens = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    query = torch.tensor([[[0.0, 0.0]]])  # own attention is uniform
    earlier = torch.tensor([[[1.0, 0.0]]])
    expected = 0.25 * torch.tensor([0.5, 0.5]) + 0.75 * torch.tensor([1.0, 0.0])
    torch.testing.assert_close(mean_shift(query, tokens, 1.0, earlier, 0.25)[0, 0], expected)


def test_stage_attention_by_hand():
    tokens = torch.tensor([[[3.0], [3.0], [0.0], [0.0]]])
    attention = stage_attention(torch.ones(1, 1, 1), tokens, 1.0)
    torch.testing.assert_close(attention[0, 0], torch.tensor([0.5, 0.5, 0.0, 0.0]))


def test_places_by_hand():
    # The right half of the teacher view, and the whole of it.
    boxes = torch.tensor([[0.5, 0.0, 0.5, 1.0], [0.0, 0.0, 1.0, 1.0]])
    right, whole = token_places(boxes, 2)
    torch.testing.assert_close(right, torch.tensor([[0.625, 0.25], [0.875, 0.25], [0.625, 0.75], [0.875, 0.75]]))
    torch.testing.assert_close(whole, torch.tensor([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]))


def test_anchored_queries_by_hand():
    tokens = torch.tensor([[[1.0], [2.0], [3.0], [4.0]]])
    at_third = torch.tensor([[[0.25, 0.75]]])
    torch.testing.assert_close(anchored_queries(tokens, at_third, 0.01), torch.tensor([[[3.0]]]))
    # Half a side away: exp(-0.5^2 / (2 * 0.5^2)), and on the diagonal its square.
    near = math.exp(-0.5)
    share = (3 + near * 1 + near * 4 + near**2 * 2) / (1 + 2 * near + near**2)
    torch.testing.assert_close(anchored_queries(tokens, at_third, 0.5), torch.tensor([[[share]]]))
    torch.testing.assert_close(anchored_queries(tokens, at_third, 1e3), torch.tensor([[[2.5]]]))


def test_float32_under_autocast():
    tokens, places = torch.randn(1, 9, 8), torch.rand(1, 4, 2)
    for compute in (lambda: anchored_queries(tokens, places, 0.1), lambda: mean_shift(tokens, tokens, 0.3)):
        with torch.autocast('cpu', dtype=torch.bfloat16):
            lower = compute()
        assert lower.dtype == torch.float32
        torch.testing.assert_close(lower, compute())


@pytest.mark.recorded
def test_recorded_modes():
    recorded = {key: torch.from_numpy(value) for key, value in load('loss_terms').items()}
    tokens, teacher, mask = recorded['student_tokens'], recorded['teacher_tokens'], recorded['query_mask']
    indices = mask.nonzero()[:, 1].view(len(mask), -1)
    queries = gather_queries(tokens, indices)
    # The recorded scales are divided by the root of the width already.
    self_scale, cross_scale = (float(recorded[name]) * tokens.shape[-1] ** 0.5 for name in ('sa_temp', 'ca_temp'))
    close = dict(rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(queries, recorded['queries'])
    torch.testing.assert_close(mean_shift(queries, tokens, self_scale), recorded['sa_modes'], **close)
    torch.testing.assert_close(mean_shift(queries, teacher, cross_scale), recorded['ca_modes'], **close)
    asked = gather_queries(recorded['prev_query_tokens'], indices)
    earlier = stage_attention(asked, recorded['prev_key_tokens'], cross_scale)
    torch.testing.assert_close(earlier, recorded['prev_attention'], **close)
    mixed = mean_shift(queries, teacher, cross_scale, earlier, 0.3)
    torch.testing.assert_close(mixed, recorded['ca_modes_mixture_0p3'], **close)
