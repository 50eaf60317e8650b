"""Every block of the documentation is checked, and run or listed with the reason why not.

``test_every_command_is_accepted`` parses every command line (fast). ``test_blocks_run.py`` runs all
commands and Python blocks that are not listed here.
"""

import re

import pytest

from tests.docs.page_blocks import (
    PAGES,
    PROGRAMS,
    all_blocks,
    check_command,
    first_word,
    read_blocks,
    read_commands,
)
from tests.shared import REPO

# Commands that test_blocks_run.py leaves out: a pattern of the command line, and the reason.
NOT_RUN = {
    r'(git|cd|python3|source|pip|pre-commit|mkdocs) ': 'makes an environment or a checkout',
    r'bash tools/quickstart.sh': 'takes minutes; its commands run one by one, and tests/test_wheel.py installs',
    r'bash tools/run_tests.sh': 'runs the tests themselves',
    r'bash tools/(dist|slurm)_|torchrun ': 'several processes; tests/engine/test_distributed.py starts them',
    r'(sbatch|srun) ': 'needs slurm; tests/apis/test_sweep.py make its environment up',
    r'curl ': 'needs a running server; tests/apis/test_serving.py sends these requests',
    r'depth serve ': 'serves until Ctrl-C; tests/apis/test_serving.py and test_serving_page.py open it',
    r'trtexec ': 'needs TensorRT; the page says that it was not tried',
    r'(depth convert|python tools/model_converters/convert_official.py) ': 'needs a published file; tests/parity '
    'converts a redrawn one of every method',
    r'python tools/analysis_tools/(benchmark|benchmark_all|compare_presets).py': 'measures for minutes; '
    'tests/benchmarks runs its parts',
    r'python -m benchmarks.shards': 'measures for minutes; tests/datasets/test_shards.py',
    r'(python benchmarks/|bash benchmarks/)': 'measures for minutes or needs a GPU; tests/benchmarks runs parts',
    r'python tools/analysis_tools/compare_configs.py': 'trains for minutes; tests/tools/test_compare_configs.py',
    r'python tools/analysis_tools/compare_curves.py': 'trains for hours; tests/benchmarks/test_learning_curves.py',
    r'python tools/analysis_tools/compare_tuning.py': 'trains for minutes; tests/tools/test_compare_tuning.py',
    r'python tools/analysis_tools/replay_step.py': 'needs a dump; tests/engine/test_finite_watch.py writes one',
    r'python tools/infer.py 0 ': 'needs a camera; tests/apis/test_video.py makes one up',
    r'python tools/dataset_converters/prepare.py NAME': 'fetches gigabytes; tests/data_tools/prepare/test_preparers.py',
    r'python tools/misc/kitti_submission.py': '500 predictions; tests/evaluation/test_kitti_submission.py',
    r'python tools/test.py CONFIG CHECKPOINT --data configs/_base_/datasets/kitti_benchmark_test.py': '500 images',
    r'depth reproduce \S+ --run': 'trains for days; tests/apis/test_reproduce.py shortens it',
    r'python projects/EPCDepth/tools/': 'needs laser scans; tests/projects/EPCDepth/test_tools.py',
    r'python projects/ScaleDepth/tools/make_class_embeddings.py': 'needs open_clip and its weights',
    r'python projects/SparsePixelStudy/tools/run_study.py': 'tests/projects/SparsePixelStudy/test_study.py',
    r'python tools/score.py predictions --dataset-config attic/attic.py': 'tests/docs/test_customize_evaluation.py',
    r'python tools/train.py projects/InverseDepth/': 'tests/docs/test_customize.py',
    r'python tools/train.py configs/synthetic/dinov3_dpt_micro_rooms_distilled.py': 'needs a teacher trained for '
    'minutes; tests/engine/test_distillation.py',
    r'python tools/train.py projects/EPCDepth/configs/stereo_folder/': 'tests/projects/EPCDepth/test_training.py',
    r'depth train --data |depth test work_dirs/my_rooms|depth infer my_rooms': 'tests/docs/test_your_data.py',
    r'depth calibrate ': 'a model that was not trained is refused; tests/test_calibration.py',
    r'python tools/analysis_tools/check_dataset.py configs/densedepth/': 'needs KITTI; tests/data_tools/doctor',
    r'python tools/analysis_tools/browse_dataset.py configs/densedepth/': 'needs KITTI; tests/apis/test_browse.py',
    r'python tools/dataset_converters/pack.py': 'needs KITTI; tests/datasets/test_packs.py',
    r'python tools/train.py \S+ --cfg-options train_dataloader.dataset.pack': 'tests/datasets/test_packs.py',
}
# Python blocks that other tests run: page, pattern of the first line, test.
PYTHON_ELSEWHERE = [
    ('docs/customize.md', r'# file: ', 'tests/docs/test_customize.py'),
    ('docs/customize.md', r'# \S+\.py$', 'tests/docs/test_customize_evaluation.py'),
    ('docs/customize.md', r'import numpy as np', 'tests/docs/test_customize_loader.py'),
    ('docs/customize.md', r'test_pipeline = \[', 'tests/docs/test_customize_loader.py'),
    ('docs/evaluation.md', r'# file: flat_ground.py', 'tests/docs/test_evaluation.py'),
    ('docs/finetune.md', r'# file: ', 'tests/docs/test_finetune.py'),
    ('docs/dataset_prepare.md', r'from pathlib import Path', 'tests/docs/test_dataset_prepare.py'),
    ('docs/hub.md', r'from depth.apis import push_to_hub', 'tests/apis/test_hub.py'),
    ('docs/hub.md', r'model = from_pretrained', 'tests/apis/test_published_files.py'),
]
# Indented blocks without commands: page, beginning of the first line.
NOT_COMMANDS = [
    ('docs/dataset_prepare.md', 'data/'),  # folders
    ('docs/dataset_tools.md', 'error: '),  # messages of the command that the text names
    ('docs/dataset_tools.md', 'train: '),
    ('docs/train.md', '2 processes x '),
]


def reason_not_to_run(words):
    """Return why a command of a page is not run; None if test_blocks_run.py runs it."""
    line = ' '.join(words)
    for pattern, reason in NOT_RUN.items():
        if re.match(pattern, line) or re.match(pattern, line + ' '):
            return reason
    return None


def test_of_python_block(block):
    """Return the test file that runs a Python block; None if test_blocks_run.py does."""
    for page, pattern, path in PYTHON_ELSEWHERE:
        if block.page == page and re.match(pattern, block.title):
            return path
    return None


test_of_python_block.__test__ = False  # a helper, whose name begins like that of a test


@pytest.mark.parametrize('page', PAGES, ids=lambda path: path.relative_to(REPO).as_posix())
def test_every_command_is_accepted(page):
    for block in read_blocks(page):
        if not block.is_shell:
            continue
        commands = read_commands(block)
        assert commands, f'{block.place}: no command'
        for words in commands:
            assert words[0] in PROGRAMS, f'{block.place}: unknown program in {words}'
            try:
                check_command(words, block.page)
            except (AssertionError, ValueError) as error:
                pytest.fail(f'{block.place}: {" ".join(words)}: {error}')


def test_every_block_is_of_a_kind_that_is_checked():
    for block in all_blocks():
        if block.is_shell or block.is_drawing or block.language in ('python', 'text'):
            continue
        listed = any(
            block.page == page and block.title.startswith(start) for page, start in NOT_COMMANDS
        )
        assert listed, f'{block.place}: neither a command nor listed: {block.title}'


def test_every_entry_of_the_tables_is_used():
    lines = []
    for block in all_blocks():
        if block.is_shell:
            lines += [' '.join(words) + ' ' for words in read_commands(block)]
    unused = [pattern for pattern in NOT_RUN if not any(re.match(pattern, line) for line in lines)]
    assert not unused
    for page, pattern, path in PYTHON_ELSEWHERE:
        blocks = read_blocks(REPO / page)
        assert any(re.match(pattern, block.title) for block in blocks), (page, pattern)
        assert (REPO / path).is_file(), path
    for reason in NOT_RUN.values():
        for path in re.findall(r'tests/[\w/.]+', reason):
            assert (REPO / path.rstrip('.')).exists(), path


def test_wrong_commands_are_noticed():
    page = 'README.md'
    for line, message in [
        ('depth trane CONFIG', 'no command trane'),
        ('depth train CONFIG --amb', 'does not accept'),
        ('depth train depthformer_swint_w7_nuy', 'did you mean'),
        ('python tools/train.py configs/depthformer/absent.py', 'absent.py does not exist'),
        ('python tools/tarin.py CONFIG', 'tarin.py does not exist'),
        ('depth train CONFIG --cfg-options modle.x=1', 'did you mean'),
        ('depth train CONFIG --cfg-options model.decode_head.chanels=1', 'chanels'),
        ('bash tools/dist_train.sh CONFIG --amp', 'number of processes'),
    ]:
        with pytest.raises((AssertionError, ValueError), match=message):
            check_command(line.split(), page)


# Inline code is too short for a parser; its scripts and options exist.
SHARED_OPTIONS = ''
for name in ('common', 'picture_options'):
    SHARED_OPTIONS += (REPO / f'depth/cli/{name}.py').read_text(encoding='utf-8')


@pytest.mark.parametrize('page', PAGES, ids=lambda path: path.relative_to(REPO).as_posix())
def test_scripts_and_options_in_the_text_exist(page):
    text = re.sub(r'```.*?```', '', page.read_text(encoding='utf-8'), flags=re.DOTALL)
    for line in re.findall(r'`([^`]+)`', text):
        match = re.match(r'((?:tools|tests|benchmarks)/\S+\.(?:py|sh))(.*)', strip_program(line))
        if not match or '*' in match[1]:
            continue
        path = REPO / match[1]
        assert path.is_file(), match[1]
        source = path.read_text(encoding='utf-8') + SHARED_OPTIONS
        for module in re.findall(r'^from depth\.cli\.(\w+) import main$', source, re.MULTILINE):
            source += (REPO / f'depth/cli/{module}.py').read_text(encoding='utf-8')
        if path.suffix == '.sh':  # the launchers hand their arguments on
            continue
        for option in re.findall(r'--[a-z][a-z-]+', match[2]):
            negated = option.replace('--no-', '--', 1)  # argparse.BooleanOptionalAction
            assert f"'{option}'" in source or f"'{negated}'" in source, f'{line}: {option}'


def strip_program(line):
    return line.removeprefix(f'{first_word(line)} ') if first_word(line) in PROGRAMS else line
