"""Retrieval and clusters: colors that are the classes are found again, position and constants score chance."""

import pytest

from flsl_mm.evaluation.probes import ClusteringProbe, RetrievalProbe
from flsl_mm.evaluation.probes.sources import Constant, MeanColor, PositionAlone
from tests.builders.probe_data import PATCH, SPEC, write_segmentation


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_segmentation(tmp_path_factory.mktemp('retrieval') / 'colors')


def test_colors_are_retrieved_and_nothing_of_what_is_blind(folder):
    """Per pixel: only corners, where bilinear labels of three neighbors outvote a patch, are wrong."""
    probe = RetrievalProbe(folder, ignore_index=9, bank_sizes=(400, 120))
    assert list(probe.rows.values()) == ['in-context 30-NN mIoU, bank 120', 'in-context 30-NN mIoU, bank 400']
    for score in probe(MeanColor(PATCH)).values():
        assert 0.85 < score.value < 1
        assert set(score.parts) == {'0', '1', '2', '3'}
    for source in (PositionAlone(SPEC), Constant(PATCH)):
        assert probe(source)['bank_400'].value < probe.chance(PATCH)['bank_400'] + 0.06


def test_the_memory_is_of_all_images_and_nested(folder):
    probe = RetrievalProbe(folder, ignore_index=9, bank_sizes=(120, 60))
    memory = probe.memory(MeanColor(PATCH))
    assert [len(features) for features, _ in memory] == [10] * 12
    assert all((shares.sum(-1) == 1).all() for _, shares in memory)
    smaller = RetrievalProbe(folder, ignore_index=9, bank_sizes=(60,)).memory(MeanColor(PATCH))
    assert all((few == many[:5]).all() for (few, _), (many, _) in zip(smaller, memory, strict=True))


def test_clusters_of_colors_are_the_classes_and_those_of_a_constant_chance(folder):
    pytest.importorskip('scipy')
    probe = ClusteringProbe(folder, ignore_index=9, num_clusters=8)
    scores = probe(MeanColor(PATCH))
    assert [score.value for score in scores.values()] == [1, 1]
    assert set(scores) == {'hungarian_miou', 'overclustering_miou'}
    scores, chance = probe(Constant(PATCH)), probe.chance(PATCH)
    assert scores['overclustering_miou'].value == pytest.approx(chance['overclustering_miou'])
    assert scores['hungarian_miou'].value <= chance['hungarian_miou'] + 1e-9


@pytest.mark.parametrize('options', [dict(bank_sizes=()), dict(search='scann')])
def test_arguments(folder, options):
    with pytest.raises(ValueError, match='bank_sizes must have a number and search be one of'):
        RetrievalProbe(folder, ignore_index=9, **options)


def test_faiss_gives_the_same_figures(folder):
    pytest.importorskip('faiss', reason='faiss, of the extra retrieval, is not installed')
    figures = [
        RetrievalProbe(folder, ignore_index=9, bank_sizes=(120,), search=search)(MeanColor(PATCH))['bank_120'].value
        for search in ('exact', 'faiss')
    ]
    assert figures[0] == pytest.approx(figures[1])


@pytest.mark.parametrize(
    ('probe', 'options', 'package'),
    [(RetrievalProbe, dict(search='faiss'), 'faiss-cpu'), (ClusteringProbe, {}, 'scipy')],
)
def test_a_missing_package_is_named_before_anything_is_read(tmp_path, monkeypatch, probe, options, package):
    monkeypatch.setattr('flsl_mm.evaluation.probes.retrieval.find_spec', lambda name: None)
    with pytest.raises(ValueError, match=f'pip install {package}, or the extra retrieval'):
        probe(tmp_path / 'not there', **options)
