"""Files of embeddings: which there are, and what is said of others."""

import pytest

from flsl_mm.commands.embed.table import check_format, read_embeddings


def test_other_files_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r'must end in \.npz or \.parquet'):
        check_format(tmp_path / 'a.csv')
    monkeypatch.setattr('flsl_mm.commands.embed.table.find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'flsl_mm\[parquet\]', or name the file \.npz"):
        check_format(tmp_path / 'a.parquet')
    (tmp_path / 'a.npz').write_bytes(b'PK\x03\x04 and more')
    with pytest.raises(ValueError, match=r'a\.npz is not a file of embeddings'):
        read_embeddings(tmp_path / 'a.npz')
