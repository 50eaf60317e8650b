"""Hooks of the documentation site: README files of the methods as pages, and links into the repository.

The pages of ``docs/`` link to files beside them, so that the links work in a clone too. A site has
only the pages: a link to a README becomes one to its page, a link to another file becomes its path
as text. A link to a file that does not exist stops the build.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
# A link or image whose target is neither an address nor a heading of the same page.
_LINK = re.compile(r'(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the README files of the methods to the pages, as ``methods/NAME.md``."""
    for path in sorted([*ROOT.glob('configs/*/README.md'), *ROOT.glob('projects/*/README.md')]):
        text = path.read_text(encoding='utf-8')
        uri = f'methods/{path.parent.name}.md'
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the text of a page with links that lead somewhere on the site."""
    source = _source(page.file.src_uri)

    def replace(match: re.Match) -> str:
        mark, label, target, anchor = match.groups()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if not (ROOT / path).exists() and not files.get_file_from_path(target):
            raise PluginError(f'{source}: the link [{label}]({target}) leads to no file')
        uri = _page_uri(path)
        linked = files.get_file_from_path(uri)
        if linked is not None:
            relative = posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or '.')
            return f'{mark}[{label}]({relative}{anchor or ""})'
        return label if label.startswith('`') else f'{label} (`{path}`)'

    return _LINK.sub(replace, text)


def _source(uri: str) -> str:
    """Return the path in the repository of a page's text."""
    if not uri.startswith('methods/'):
        return f'docs/{uri}'
    name = Path(uri).stem
    folder = 'configs' if (ROOT / 'configs' / name).is_dir() else 'projects'
    return f'{folder}/{name}/README.md'


def _page_uri(path: str) -> str:
    """Return the page of a file of the repository; there may be none of that name."""
    match = re.fullmatch(r'(?:configs|projects)/(\w+)(?:/README\.md)?', path)
    return f'methods/{match[1]}.md' if match else path.removeprefix('docs/')
