"""The tables of docs/scale.md are what depth plan computes."""

import runpy

from tests.shared import REPO

PAGE = (REPO / 'docs/scale.md').read_text(encoding='utf-8')


def test_the_tables_are_those_of_the_command():
    tool = runpy.run_path(str(REPO / 'tools/misc/write_scale_page.py'))
    assert PAGE.count('<!-- depth plan') == 2
    assert tool['written'](PAGE) == PAGE


def test_seven_billion_parameters_fit_eight_gpus_when_they_are_divided():
    table = PAGE.split('<!-- depth plan dinov3_vit7b')[1].split('<!-- end -->')[0]
    rows = {}
    for line in table.splitlines()[3:]:
        cells = [cell.strip() for cell in line.strip('| ').split('|')]
        rows[int(cells[0]), cells[1]] = cells[2:]
    # 6846.5 M parameters of 4 bytes; on eight GPUs an eighth.
    assert rows[8, 'ddp bf16 recompute'][0] == '27.39'
    assert rows[8, 'ddp bf16 recompute'][6] == 'no'
    assert rows[8, 'fsdp2 bf16 recompute'][0] == '3.42'
    assert rows[8, 'fsdp2 bf16 recompute'][6] == 'yes'
