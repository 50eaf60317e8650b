"""Faults of checkpoints: crafted to run code, damaged, with weights or predictions that are not finite."""

import os
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from depth.apis import DepthInferencer, init_model
from depth.engine.sharded_checkpoint import shards_folder, write_whole_as_sharded

from .bench import Fault, check_fault

INFER = 'infer {images} --checkpoint {checkpoint} --out-dir {out} --device cpu'
TEST = 'test {config} {checkpoint} --work-dir {root}/test --out {out}'
RESUME = 'train {config} --work-dir {run} --resume auto'
EVIL = "import pathlib\npathlib.Path(__file__).with_name('marker').touch()\n"


def with_content(change):
    """Return what rewrites the newest checkpoint after ``change`` has edited its content."""

    def rewrite(bench):
        content = torch.load(bench.checkpoint, weights_only=True)
        change(content, bench)
        torch.save(content, bench.checkpoint)

    return rewrite


def with_text(text):
    """Return what puts a text in place of the config, as earlier versions stored it; ``MARKER`` is a file's path."""
    return with_content(
        lambda content, bench: content['meta'].update(
            cfg=text.replace('MARKER', f'{bench.root}/marker')
        )
    )


def with_config(change):
    """Return what edits the stored config; modules ``evil`` and ``projects.evil`` lie in the working directory."""

    def edit(content, bench):
        (bench.root / 'projects' / 'evil').mkdir(parents=True)
        for module in ('evil.py', 'projects/evil/__init__.py'):
            (bench.root / module).write_text(EVIL)
        change(content['meta']['cfg'])

    return with_content(edit)


def with_pipeline_step(step):
    """Return what puts a step in front of the stored test pipeline."""
    return with_config(lambda cfg: cfg['test_dataloader']['dataset']['pipeline'].insert(0, step))


def with_bytes(content):
    """Return what overwrites the middle of the largest record of a checkpoint with up to 4 kB."""

    def overwrite(bench):
        with zipfile.ZipFile(bench.checkpoint) as archive:
            largest = max(archive.infolist(), key=lambda info: info.file_size)
            record = archive.read(largest)
        size = min(4096, len(record) // 2)
        raw = bytearray(bench.checkpoint.read_bytes())
        middle = raw.index(record) + len(record) // 4
        raw[middle : middle + size] = (content * size)[:size]
        bench.checkpoint.write_bytes(raw)

    return overwrite


def damage_pickle(bench):
    """Replace the pickle of the newest checkpoint; the archive and its checksums stay whole."""
    with zipfile.ZipFile(bench.checkpoint) as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(bench.checkpoint, 'w') as archive:
        for name, record in records.items():
            is_pickle = name.endswith('/data.pkl')
            archive.writestr(
                name, record[: len(record) // 3] + b'\xff' * 64 if is_pickle else record
            )


def truncate(bench):
    raw = bench.checkpoint.read_bytes()
    bench.checkpoint.write_bytes(raw[: len(raw) // 2])


def damage_both(bench):
    damage_pickle(bench)
    (bench.run / 'iter_2.pth').write_bytes(b'cut off')


def with_shards(damage):
    """Return what makes the newest checkpoint a sharded one, and damages a file of its folder."""

    def rewrite(bench):
        whole = torch.load(bench.checkpoint, weights_only=True)
        torch.save(write_whole_as_sharded(whole, bench.checkpoint), bench.checkpoint)
        damage(shards_folder(bench.checkpoint) / '__0_0.distcp')

    return rewrite


def first_convolution(content):
    name = next(name for name, value in content['state_dict'].items() if value.ndim == 4)
    return content['state_dict'][name]


def put_nan(content, bench):
    first_convolution(content)[0, 0, 0, 0] = float('nan')


def put_infinity(content, bench):
    first_convolution(content)[0, 0, 0, 0] = float('inf')


def make_variance_negative(content, bench):
    """Change finite weights so that BatchNorm takes the root of a negative number."""
    name = next(name for name in content['state_dict'] if name.endswith('running_var'))
    content['state_dict'][name].fill_(-1.0)


def write_torchscript(bench):
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), str(bench.checkpoint))


def trust(cfg):
    cfg['custom_imports'] = dict(imports=['evil'])


NOT_RUN = 'nothing of it was run'
NOT_IMPORTED = 'nothing of it was imported'
CASES = [
    Fault(
        'config_text_calls_a_command',
        with_text("max_depth = 10.0\n__import__('os').system('touch MARKER')\n"),
        INFER,
        says=('{checkpoint}: line 2 of its config', '__import__', NOT_RUN, '--config'),
    ),
    Fault(
        'config_text_calls_in_a_value',
        with_text("model = dict(type='DepthEstimator', depth=[open('MARKER', 'w')])\n"),
        INFER,
        says=('{checkpoint}: line 1 of its config', 'open(', NOT_RUN),
    ),
    Fault(
        'config_text_formats_a_call',
        with_text("work_dir = f\"{open('MARKER', 'w')}\"\n"),
        INFER,
        says=('{checkpoint}: line 1 of its config', NOT_RUN),
    ),
    Fault(
        'config_text_names_a_base',
        with_text("_base_ = ['MARKER.py']\n"),
        INFER,
        says=('{checkpoint}: its config has no model',),
    ),
    Fault(
        'config_text_is_no_python',
        with_text('model = dict(\n'),
        INFER,
        says=('{checkpoint}: line 1 of its config is no Python',),
    ),
    Fault(
        'config_type_is_a_command',
        with_config(
            lambda cfg: cfg['model'].update(type='subprocess.getoutput', cmd='touch marker')
        ),
        INFER,
        says=('{checkpoint}: model.type', "'subprocess.getoutput'", '--trust-module subprocess'),
    ),
    Fault(
        'config_type_of_a_hook_is_a_command',
        with_config(lambda cfg: cfg.update(custom_hooks=[dict(type='os.mkdir', path='marker')])),
        INFER,
        says=('{checkpoint}: custom_hooks[0].type', "'os.mkdir'"),
    ),
    Fault(
        'config_type_is_a_module',
        with_config(lambda cfg: cfg['model']['decode_head'].update(type='evil')),
        INFER,
        says=('{checkpoint}: model.decode_head.type', "'evil'", 'not registered'),
    ),
    Fault(
        'config_pipeline_calls_a_command',
        with_pipeline_step(dict(type='subprocess.getoutput', cmd='touch marker')),
        INFER,
        says=('{checkpoint}: test_dataloader.dataset.pipeline[0].type', "'subprocess.getoutput'"),
    ),
    Fault(
        'config_scope_is_a_package',
        with_config(lambda cfg: cfg['model'].update(_scope_='evil')),
        INFER,
        says=('{checkpoint}: model._scope_', "'evil'"),
    ),
    Fault(
        'config_default_scope_is_a_package',
        with_config(lambda cfg: cfg.update(default_scope='evil')),
        INFER,
        says=('{checkpoint}: default_scope', "'evil'"),
    ),
    Fault(
        'config_imports_a_module',
        with_config(trust),
        INFER,
        says=('{checkpoint}: its config imports', "'evil'", NOT_IMPORTED, '--trust-module evil'),
    ),
    Fault(
        'config_imports_a_module_by_the_api',
        with_config(trust),
        lambda bench: DepthInferencer(bench.checkpoint, device='cpu'),
        says=("'evil'", NOT_IMPORTED, "trusted_modules=['evil']"),
    ),
    Fault(
        'config_imports_a_project_of_the_working_directory',
        with_config(lambda cfg: cfg.update(custom_imports=dict(imports=['projects.evil']))),
        INFER,
        says=('{checkpoint}: its config imports', "'projects.evil'", NOT_IMPORTED),
    ),
    Fault(
        'config_is_a_tensor',
        with_content(lambda content, bench: content['meta'].update(cfg=torch.zeros(2))),
        INFER,
        says=('{checkpoint}: its config is a Tensor',),
    ),
    Fault(
        'weights_of_timm_by_path',
        with_config(
            lambda cfg: cfg['model']['backbone'].update(
                model_args=dict(checkpoint_path='weights.pkl')
            )
        ),
        INFER,
        says=('model_args.checkpoint_path', 'checkpoint=FILE'),
    ),
    Fault(
        'network_of_a_hub',
        with_config(
            lambda cfg: cfg['model']['backbone'].update(model_name='hf-hub:someone/something')
        ),
        INFER,
        says=('has no model', "'hf-hub:someone/something'"),
    ),
    Fault(
        'checkpoint_is_a_script',
        lambda bench: (bench.root / 'evil.py').write_text(EVIL),
        'infer {images} --checkpoint {root}/evil.py --out-dir {out} --device cpu',
        says=('{root}/evil.py', 'not a checkpoint'),
    ),
    Fault(
        'checkpoint_is_a_program', write_torchscript, INFER, says=('{checkpoint}', 'TorchScript')
    ),
    Fault(
        'random_bytes',
        with_bytes(b'\x9c\x17\x42'),
        INFER,
        says=('{checkpoint} is damaged in', '/data/', 'copy it again'),
    ),
    Fault(
        'hole_of_zeros', with_bytes(b'\x00'), INFER, says=('{checkpoint} is damaged in', '/data/')
    ),
    Fault('truncated', truncate, INFER, says=('{checkpoint}', 'damaged or not a checkpoint')),
    Fault(
        'weight_is_nan',
        with_content(put_nan),
        INFER,
        says=('{checkpoint}', 'not finite', '.weight (1 NaN'),
    ),
    Fault(
        'weight_is_infinite',
        with_content(put_infinity),
        INFER,
        says=('{checkpoint}', 'not finite', '0 NaN and 1 infinite'),
    ),
    Fault(
        'weight_is_nan_in_a_test',
        with_content(put_nan),
        TEST,
        says=('{checkpoint}', 'not finite', '.weight (1 NaN'),
        writes=('test/**/*',),
    ),
    Fault(
        'prediction_is_nan',
        with_content(make_variance_negative),
        INFER,
        says=(
            '{images}/000.png: 3072 of 3072 predicted depths are not finite',
            '{images}/001.png',
            '{checkpoint}',
        ),
        writes=('out/report.json',),
    ),
    Fault(
        'prediction_is_nan_in_a_test',
        with_content(make_variance_negative),
        TEST,
        says=('{val}/images/000.png', 'not finite', '{checkpoint}'),
        writes=('test/**/*',),
    ),
    Fault(
        'resume_from_a_damaged_pickle',
        damage_pickle,
        RESUME,
        says=(
            '{checkpoint} cannot be resumed from, trying the one before',
            'loaded {run}/iter_2.pth',
        ),
        code=0,
        writes=('run/**/*',),
    ),
    Fault(
        'shard_cut_off',
        with_shards(lambda file: os.truncate(file, 1000)),
        INFER,
        says=('{checkpoint} is damaged in {run}/iter_4.shards/__0_0.distcp', 'it has 1000 bytes'),
    ),
    Fault(
        'resume_from_a_missing_shard',
        with_shards(Path.unlink),
        RESUME,
        says=(
            '{checkpoint} cannot be resumed from, trying the one before',
            '{run}/iter_4.shards/__0_0.distcp is missing',
            'loaded {run}/iter_2.pth',
        ),
        code=0,
        writes=('run/**/*',),
    ),
    Fault(
        'resume_where_all_are_damaged',
        damage_both,
        RESUME,
        says=('none of the 2 checkpoints in {run} can be loaded', 'move them away'),
        writes=('run/2*/**/*', 'run/config.py'),
    ),
]


@pytest.mark.parametrize('fault', CASES, ids=lambda fault: fault.name)
@pytest.mark.filterwarnings('ignore:.torch.jit:FutureWarning')
@pytest.mark.filterwarnings('ignore:.*TorchScript archive')
def test_fault_is_answered(bench, fault):
    check_fault(bench, fault)


def test_a_module_that_the_caller_trusts_is_imported(bench, monkeypatch):
    with_config(trust)(bench)
    monkeypatch.syspath_prepend(str(bench.root))
    monkeypatch.delitem(sys.modules, 'evil', raising=False)
    init_model(bench.checkpoint, trusted_modules=['evil'])
    del sys.modules['evil']  # other tests look whether it was imported
    assert (bench.root / 'marker').exists()
