"""No module writes a file under its final name: a full disk or a kill would leave half of it."""

import ast

import pytest

from tests.shared import REPO

# Calls that write a file by its path. `open` counts with a mode that writes.
WRITERS = {
    'write_text',
    'write_bytes',
    'imwrite',
    'savefig',
    'savez',
    'savez_compressed',
    'savetxt',
    'copyfile',
    'copy2',
    'tofile',
    'extractall',
}
OPEN_FILES = {
    'file',
    'content',
}  # `np.save(file, ...)` and `torch.save(..., file)` may write to an open file
ALLOWED = {
    'depth/atomic_write.py': 'opens the temporary files',
    'depth/apis/inference.py': 'a temporary folder',
    'depth/apis/sweep.py': 'the output of a process, appended as it comes',
    'depth/apis/video.py': 'a temporary file that is renamed when the video is complete',
    'depth/data_tools/pack_writer.py': 'a folder that is renamed when it is complete',
    'depth/visualization/local_backend.py': 'a line of a log, appended whole or not at all',
    'depth/data_tools/prepare/download.py': 'a part that the next start continues; renamed when it is checked',
    'benchmarks/data.py': 'a temporary folder',
    'benchmarks/shards.py': 'a temporary folder',
    'benchmarks/memory.py': "a switch of the system's, no file",
    'benchmarks/curves.py': 'a picture in memory',
    'projects/SparsePixelStudy/sparse_pixels/report.py': 'a picture in memory',
}


MODULES = [
    path
    for folder in ('benchmarks', 'depth', 'tools', 'projects')
    for path in sorted((REPO / folder).rglob('*.py'))
]


def is_writing_mode(call):
    modes = [
        node.value
        for node in [*call.args, *(k.value for k in call.keywords)]
        if isinstance(node, ast.Constant)
    ]
    return any(
        isinstance(mode, str) and mode[:1] in ('w', 'a', 'x') and len(mode) < 4 for mode in modes
    )


def direct_writes(tree):
    """Return the line of each call that writes a file by its path."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = getattr(call.func, 'attr', getattr(call.func, 'id', ''))
        if name in WRITERS or (name == 'open' and is_writing_mode(call)):
            yield call.lineno
        elif name == 'save' and isinstance(call.func, ast.Attribute):
            arguments = [getattr(argument, 'id', '') for argument in call.args]
            if len(arguments) > 1 and not OPEN_FILES.intersection(arguments):
                yield call.lineno


@pytest.mark.parametrize('path', MODULES, ids=lambda path: path.relative_to(REPO).as_posix())
def test_every_output_goes_through_the_atomic_writer(path):
    if path.relative_to(REPO).as_posix() in ALLOWED:
        pytest.skip(ALLOWED[path.relative_to(REPO).as_posix()])
    actual = list(direct_writes(ast.parse(path.read_text(encoding='utf-8'))))
    assert not actual, f'{path} writes directly in lines {actual}; use depth/atomic_write.py'


def test_the_search_finds_each_way_to_write():
    code = """
path.write_text('a')
cv2.imwrite('a.png', img)
open('x.txt', 'w')
path.open('ab')
np.save(path, array)
torch.save(state, 'a.pth')
np.save(file, array)
path.open('rb')
open('x.txt')
"""
    assert sorted(direct_writes(ast.parse(code))) == [2, 3, 4, 5, 6, 7]
