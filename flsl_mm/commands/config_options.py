"""``--cfg-options``: values as MMEngine reads them, but paths as they are, and no option that changes nothing."""

from __future__ import annotations

import argparse
import inspect
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmengine.config import Config

OTHER_ENTRIES = {
    *('auto_scale_lr', 'custom_imports', 'default_scope', 'module_folder', 'runner_type', 'tta_model', 'tta_pipeline'),
    *('checkpoint_config', 'compile', 'model_wrapper_cfg', 'sync_bn'),
}
"""Top-level entries that are read, besides the arguments of a Runner."""

_SPACE = '\0'


class ConfigOptions(argparse.Action):
    """Collects ``KEY=VALUE`` in a dict."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str],
        option_string: str | None = None,
    ) -> None:
        """Add the options to those given before."""
        options = dict(getattr(namespace, self.dest) or {})
        for text in values:
            key, equals, value = text.partition('=')
            if not (equals and key):
                parser.error(f'{option_string} takes KEY=VALUE, got {text!r}: quote an option that has spaces')
            options[key] = parse_value(value)
        setattr(namespace, self.dest, options)


def parse_value(text: str) -> Any:
    """Read a value as MMEngine's ``DictAction`` does, which takes spaces out of text and splits it at commas.

    Here spaces stay inside of text, and a path with commas is a path: text with a slash, or the name of a file that is
    there. A list of paths needs brackets.
    """
    from mmengine.config import DictAction

    text = text.strip()
    unquoted = text.strip('\'"')
    if not unquoted.startswith(('(', '[')) and (re.search(r'[/\\]', unquoted) or os.path.exists(unquoted)):
        return unquoted
    separated = re.sub(r'\s*([,()\[\]])\s*', r'\1', text)
    return _with_spaces(DictAction._parse_iterable(separated.replace(' ', _SPACE)))


def _with_spaces(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(map(_with_spaces, value))
    return value.replace(_SPACE, ' ') if isinstance(value, str) else value


def check_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Refuse options that change a variable of the config file alone, which nothing reads any more.

    Args:
        cfg: The config, without the options.
        options: Keys and values as of :class:`ConfigOptions`.

    Raises:
        ValueError: If there is one; the message names the entries that were made from the variable.
    """
    from mmengine.runner import Runner

    known = {*inspect.signature(Runner.__init__).parameters, *OTHER_ENTRIES}
    for key in options:
        if '.' in key or key in known:
            continue
        entries = [path for path in _paths_to(cfg.to_dict(), key) if '.' in path]
        advice = f'set {", ".join(entries[:3])} instead' if entries else 'see the entries of the config file'
        raise ValueError(f'--cfg-options {key}=... changes nothing, as no part of a run reads {key} alone: {advice}')


def _paths_to(part: Any, key: str, path: str = '') -> Iterator[str]:
    """List the paths of all entries of a name, nearest to the top first in the order of the config."""
    items = part.items() if isinstance(part, Mapping) else enumerate(part) if isinstance(part, (list, tuple)) else ()
    for name, value in items:
        if name == key:
            yield f'{path}{name}'
        yield from _paths_to(value, key, f'{path}{name}.')
