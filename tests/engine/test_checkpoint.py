import collections
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModule
from torch import nn

from depth.apis import init_model
from depth.engine.checkpoint import (
    Replaced,
    find_latest_checkpoint,
    from_plain,
    load_checkpoint_file,
    load_model_state,
    save_atomically,
    to_plain,
)


class Payload:
    """What an attacker would pickle: loading it with plain pickle creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


class Meta:
    """An object of a library that is not installed here."""

    def __init__(self):
        self.classes = ['a']


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
def test_a_foreign_file_is_read_without_running_anything(tmp_path, zipped, capsys):
    weights = collections.OrderedDict(weight=torch.arange(6.0).view(2, 3))
    content = dict(
        state_dict=weights,
        meta=dict(epoch=3, hub=Meta(), acc=np.float64(0.5)),
        bad=Payload(tmp_path / 'x'),
    )
    path = tmp_path / 'foreign.pth'
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    loaded = load_checkpoint_file(path)
    assert not (tmp_path / 'x').exists()
    assert torch.equal(loaded['state_dict']['weight'], weights['weight'])
    assert loaded['meta']['epoch'] == 3
    assert loaded['meta']['acc'] == 0.5
    assert isinstance(loaded['meta']['hub'], Replaced)
    assert isinstance(loaded['bad'], Replaced)


def test_plain_values_come_back(tmp_path):
    buffer = HistoryBuffer([1.0, 2.0], [1, 3], max_length=50)
    state = dict(
        hub=dict(loss=buffer),
        rate=np.float32(0.5),
        names=('a', 'b'),
        function=len,
        nested=[np.arange(3)],
    )
    save_atomically(to_plain(state), tmp_path / 'a.pth')
    loaded = from_plain(torch.load(tmp_path / 'a.pth', weights_only=True))
    assert loaded['hub']['loss'].data[0].tolist() == [1.0, 2.0]
    assert loaded['hub']['loss'].mean() == pytest.approx(buffer.mean())
    assert loaded['hub']['loss'].max_length == 50
    assert loaded['rate'] == 0.5
    assert loaded['names'] == ('a', 'b')
    assert 'function' not in loaded


def test_a_failed_save_leaves_the_last_good_file(tmp_path, monkeypatch):
    path = tmp_path / 'iter_1.pth'
    save_atomically(dict(a=torch.ones(2)), path)

    def full_disk(content, file):
        file.write(b'half a checkpoint')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(torch, 'save', full_disk)
    with pytest.raises(OSError, match='earlier checkpoints are untouched'):
        save_atomically(dict(a=torch.zeros(2)), path)
    assert torch.load(path, weights_only=True)['a'].tolist() == [1, 1]
    assert [item.name for item in tmp_path.iterdir()] == ['iter_1.pth']


def test_the_newest_whole_checkpoint_is_found(tmp_path):
    assert find_latest_checkpoint(tmp_path) is None
    for number in (2, 10):
        save_atomically(dict(a=torch.ones(1)), tmp_path / f'iter_{number}.pth')
    (tmp_path / 'iter_30.pth').write_bytes(b'cut off')
    (tmp_path / '.iter_40.pth.1.tmp').write_bytes(b'never finished')
    assert find_latest_checkpoint(tmp_path).name == 'iter_10.pth'


def _flip_a_bit(path):
    raw = bytearray(path.read_bytes())
    raw[raw.index(torch.full((64,), 3.0).numpy().tobytes()) + 100] ^= 1
    path.write_bytes(raw)


def _zero_a_part(path):
    raw = path.read_bytes()
    path.write_bytes(raw.replace(torch.full((64,), 3.0).numpy().tobytes(), bytes(256)))


def _cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def _break_pickle(path):
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w') as archive:
        for name, record in records.items():
            archive.writestr(
                name, record[:20] + b'\xff' * 20 if name.endswith('data.pkl') else record
            )


def _put_nan(path):
    torch.save(dict(state_dict=dict(weight=torch.tensor([1.0, float('nan')]))), path)


def _write_legacy_pickle(path):
    path.write_bytes(pickle.dumps(dict(weight=1)))


DAMAGES = [_flip_a_bit, _zero_a_part, _cut, _break_pickle, _put_nan, _write_legacy_pickle]


@pytest.mark.parametrize('damage', DAMAGES, ids=lambda damage: damage.__name__)
def test_the_one_before_a_damaged_checkpoint_is_found(tmp_path, damage, capsys):
    for number in (2, 10):
        save_atomically(
            dict(state_dict=dict(weight=torch.full((64,), 3.0))), tmp_path / f'iter_{number}.pth'
        )
    damage(tmp_path / 'iter_10.pth')
    assert find_latest_checkpoint(tmp_path).name == 'iter_2.pth'
    damage(tmp_path / 'iter_2.pth')
    with pytest.raises(ValueError, match=r'none of the 2 checkpoints.*iter_10'):
        find_latest_checkpoint(tmp_path)


@pytest.mark.parametrize('damage', [_flip_a_bit, _zero_a_part], ids=lambda damage: damage.__name__)
def test_a_damaged_record_is_named(tmp_path, damage):
    path = tmp_path / 'a.pth'
    torch.save(dict(weight=torch.full((64,), 3.0)), path)
    damage(path)
    assert torch.load(path, weights_only=True)['weight'].shape == (64,)  # PyTorch does not notice
    with pytest.raises(ValueError, match=r'a\.pth is damaged in a/data/0'):
        load_checkpoint_file(path)


@pytest.mark.skipif(
    not hasattr(torch.serialization, 'set_crc32_options'),
    reason='this version of torch always writes checksums',
)
def test_a_file_saved_without_checksums_loads(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(dict(weight=torch.ones(3)), tmp_path / 'a.pth')
    finally:
        torch.serialization.set_crc32_options(True)
    assert load_checkpoint_file(tmp_path / 'a.pth')['weight'].tolist() == [1, 1, 1]


@pytest.mark.parametrize('value', [float('nan'), float('inf'), float('-inf')])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_weights_that_are_not_finite_are_named(value, dtype):
    model = nn.Linear(2, 3)
    state = model.state_dict() | dict(bias=torch.tensor([0.0, value, 0.0], dtype=dtype))
    with pytest.raises(ValueError, match=r'some\.pth: weights are not finite: bias \('):
        load_model_state(model, state, 'some.pth')


def test_an_infinity_that_the_model_builds_itself_is_accepted():
    model = nn.Linear(2, 3)
    model.register_buffer('attn_mask', torch.tensor([0.0, float('-inf')]))
    state = model.state_dict()
    load_model_state(model, state, 'some.pth')
    with pytest.raises(ValueError, match='attn_mask'):
        load_model_state(
            model, state | dict(attn_mask=torch.tensor([float('-inf'), 0.0])), 'some.pth'
        )
    with pytest.raises(ValueError, match='attn_mask'):
        load_model_state(
            model, state | dict(attn_mask=torch.tensor([0.0, float('nan')])), 'some.pth'
        )


def test_pretrained_weights_of_mmengine_are_read_without_running_anything(tmp_path):
    weights = nn.Linear(2, 3).state_dict()
    torch.save(dict(state_dict=weights, bad=Payload(tmp_path / 'x')), tmp_path / 'a.pth')
    module = BaseModule(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth')))
    module.weight, module.bias = nn.Parameter(torch.zeros(3, 2)), nn.Parameter(torch.zeros(3))
    module.init_weights()
    assert not (tmp_path / 'x').exists()
    assert torch.equal(module.weight, weights['weight'])


def test_names_that_do_not_fit_are_listed():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    state = {'0.weight': torch.zeros(3, 2), '0.bias': torch.zeros(4), 'head.weight': torch.zeros(1)}
    with pytest.raises(ValueError, match='does not fit') as caught:
        load_model_state(model, state, 'some.pth')
    message = str(caught.value)
    assert 'some.pth' in message
    assert '2 missing: 1.weight, 1.bias' in message
    assert '1 unexpected: head.weight' in message
    assert '0.bias (4,) instead of (3,)' in message


@pytest.mark.parametrize(
    'content', [b'', b'plain text', b'junk' * 100, pickle.dumps([1, 2, 3], protocol=2)]
)
def test_what_is_no_checkpoint_is_named(tmp_path, content):
    path = tmp_path / 'wrong.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'wrong\.pth'):
        load_checkpoint_file(path)


def test_a_checkpoint_builds_its_model_and_says_what_made_it(trained):
    path = trained / 'iter_9.pth'
    model = init_model(path)
    checkpoint = torch.load(path, weights_only=True)
    assert all(
        torch.equal(value, checkpoint['state_dict'][name])
        for name, value in model.state_dict().items()
    )
    meta = checkpoint['meta']
    assert meta['depth_range'] == [1e-3, 10.0]
    assert meta['dataset_meta']['dataset_name'] == 'synthetic_rooms'
    assert meta['versions']['torch'] == torch.__version__
    assert sorted(item.name for item in trained.glob('iter_*.pth')) == ['iter_8.pth', 'iter_9.pth']
    assert len(list(trained.glob('best_abs_rel_iter_*.pth'))) == 1
