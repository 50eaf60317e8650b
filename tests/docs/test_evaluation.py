import re
import sys

import pytest

from tests.shared import REPO, SAMPLES, needs_samples
from tests.shared_process import run_python

TEXT = (REPO / 'docs/evaluation.md').read_text(encoding='utf-8')


def test_the_table_of_protocols_is_up_to_date():
    table = re.search(
        r'<!-- protocols -->\n(.*)<!-- end of protocols -->', TEXT, flags=re.DOTALL
    ).group(1)
    tool = REPO / 'tools/misc/list_protocols.py'
    printed = run_python([sys.executable, str(tool)]).stdout
    assert table == printed, (
        'run tools/misc/list_protocols.py and put its output into docs/evaluation.md'
    )


@needs_samples
@pytest.mark.slow
def test_the_script_gives_the_numbers_of_the_page(tmp_path, monkeypatch):
    script = re.search(r'```python\n# file: flat_ground.py\n(.*?)```', TEXT, flags=re.DOTALL).group(
        1
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'configs').symlink_to(REPO / 'configs')
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/kitti_frames').symlink_to(SAMPLES / 'kitti')
    namespace = {}
    exec(script, namespace)
    rows = re.findall(
        r'^\| `(\w+)` \| (?:KB view|full) \| ([\d. |]+) \|$', TEXT, flags=re.MULTILINE
    )
    results = [*namespace['cropped'].metric.outcome, *namespace['full'].metric.outcome]
    assert [name for name, _ in rows] == [result.protocol.name for result in results]
    for (_, numbers), result in zip(rows, results, strict=True):
        expected = [result.metrics[name] for name in ('abs_rel', 'rmse', 'silog', 'd1')]
        assert [float(number) for number in numbers.split('|')] == pytest.approx(expected, abs=6e-5)
