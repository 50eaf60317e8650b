"""The documentation site builds strictly, and its links lead to pages."""

import logging
import re
from types import SimpleNamespace

import pytest

from tests.shared import REPO

pytest.importorskip('mkdocs', reason='mkdocs (extra docs) is not installed')


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """Return the folder of the built site; a warning fails."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp('site')
    logging.getLogger('mkdocs').setLevel(logging.WARNING)
    build(load_config(str(REPO / 'mkdocs.yml'), strict=True, site_dir=str(folder)))
    return folder


def test_the_site_has_the_pages_and_links_inside_it_lead_somewhere(site):
    pages = sorted(site.rglob('index.html'))
    names = {page.parent.relative_to(site).as_posix() for page in pages}
    assert {'faq', 'many_gpus', 'api/apis', 'methods/depthformer', 'methods/ScaleDepth'} <= names
    count = 0
    for page in pages:
        for target in re.findall(r'(?:href|src)="([^"#?]+)', page.read_text(encoding='utf-8')):
            if ':' in target or target.startswith('/'):  # an address, or written data
                continue
            assert (page.parent / target).exists(), f'{page}: {target}'
            count += 1
    assert count > 1000


def test_the_reference_shows_what_the_docstrings_say(site):
    text = (site / 'api/apis/index.html').read_text(encoding='utf-8')
    assert 'Build a model, load its weights strictly' in text
    assert 'trusted_modules' in text


def test_a_link_to_no_file_stops_the_build():
    from mkdocs.exceptions import PluginError

    from docs import site_hooks

    page = SimpleNamespace(file=SimpleNamespace(src_uri='train.md'))
    files = SimpleNamespace(get_file_from_path=lambda path: None)
    text = '[a config](../configs/dpt/README.md) and [none](../configs/nowhere.md)'
    with pytest.raises(PluginError, match=r'docs/train\.md: the link \[none\]'):
        site_hooks.on_page_markdown(text, page, None, files)
