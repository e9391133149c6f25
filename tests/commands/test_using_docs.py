"""What docs/using.md shows: commands of every program, and the files are read as it says."""

import re
from pathlib import Path

import torch

from flsl_mm.commands.embed.folder import embed
from tests.builders.checkpoints import file_of, tiny
from tests.builders.images import make_image

DOCS = (Path(__file__).parents[2] / 'docs' / 'using.md').read_text(encoding='utf-8')


def test_embeddings_are_read_as_shown(tmp_path, monkeypatch):
    import flsl_mm

    assert all(f'flsl-mm {name} ' in DOCS for name in ('embed', 'export', 'test', 'plot-run', 'train'))
    monkeypatch.chdir(tmp_path)
    torch.save(file_of(tiny(3)), 'model.pth')
    Path('images').mkdir()
    make_image(48, 40).save('images/a.png')
    model = flsl_mm.load_model('model.pth')
    embed(model, Path('images'), Path('images.npz'), patches=True)
    (snippet,) = re.findall(r'```python\n(import numpy.*?)```', DOCS, re.DOTALL)
    scope = {}
    exec(snippet, scope)
    expected = model.features('images/a.png')[0]
    torch.testing.assert_close(torch.from_numpy(scope['first'].astype('f4')), expected, rtol=1e-3, atol=1e-3)
