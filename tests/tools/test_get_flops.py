import json
import sys

from tests.shared import REPO
from tests.shared_process import run_python


def test_it_prints_a_table_and_writes_json(tmp_path):
    command = [
        sys.executable,
        'tools/analysis_tools/get_flops.py',
        'configs/synthetic/depthformer_tiny_rooms.py',
    ]
    options = ['--shape', '64', '96', '--out', str(tmp_path / 'out/flops.json')]
    options += ['--cfg-options', 'model.decode_head.channels=8']
    process = run_python([*command, *options], cwd=REPO, timeout=120)
    assert process.returncode == 0, process.stderr
    written = json.loads((tmp_path / 'out/flops.json').read_text())
    assert written['shape'] == [1, 3, 64, 96]
    assert list(written['parts']) == ['backbone', 'neck', 'decode_head']
    for key in ('parameters', 'flops', 'macs'):
        assert sum(counts[key] for counts in written['parts'].values()) == written['total'][key] > 0
    assert written['total']['flops'] == sum(written['operators'].values())
    assert written['operators']['depth.ms_deform_attn'] > 0
    assert f'{written["total"]["parameters"]:,}' in process.stdout
    assert 'not counted: norms' in process.stdout
