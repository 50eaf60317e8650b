import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from depth.apis import from_pretrained, inference_model, init_model, push_to_hub, save_pretrained
from depth.apis import hub as module
from depth.engine.converters import SOURCES
from depth.engine.stored_config import config_to_data
from depth.evaluation.protocols import get_protocol
from tests.shared import REPO

pytest.importorskip('safetensors')
TINY = REPO / 'configs/synthetic/dpt_tiny_rooms.py'


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return init_model(TINY)


@pytest.fixture(scope='module')
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp('hub') / 'tiny'
    return save_pretrained(model, folder, metrics=dict(abs_rel=0.25), licence='MIT')


@pytest.fixture
def copy(saved, tmp_path):
    folder = tmp_path / 'copy'
    folder.mkdir()
    for path in saved.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def change(folder, **changes):
    """Change entries of a folder's config.json; None removes one."""
    path = folder / 'config.json'
    content = json.loads(path.read_text())
    for key, value in changes.items():
        content[key] = value
    path.write_text(json.dumps(content))


def test_a_folder_gives_the_same_model_bit_for_bit(model, saved):
    loaded = from_pretrained(saved)
    assert not loaded.training
    expected = model.state_dict()
    actual = loaded.state_dict()
    assert list(actual) == list(expected)
    for name, value in expected.items():
        assert torch.equal(actual[name], value), name
        assert actual[name].dtype == value.dtype
    img = np.random.RandomState(0).randint(0, 256, (96, 128, 3), np.uint8)
    assert torch.equal(
        inference_model(loaded, img).pred_depth, inference_model(model, img).pred_depth
    )


def test_the_config_keeps_tuples_keys_and_numbers(model, tmp_path):
    cfg = model.cfg.copy()
    cfg.notes = dict(pair=(1, (2.5, None)), by_number={1: 'a', 2.5: 'b'}, far=float('inf'))
    cfg.work_dir = '/home/somebody/run'
    kept, model.cfg = model.cfg, cfg
    try:
        save_pretrained(model, tmp_path / 'm')
    finally:
        model.cfg = kept
    expected = config_to_data(cfg)
    for key in ('work_dir', 'load_from', 'resume'):  # of one machine or one run
        del expected[key]
    assert config_to_data(from_pretrained(tmp_path / 'm').cfg) == expected
    assert 'somebody' not in (tmp_path / 'm/config.json').read_text()


def test_the_card_states_protocol_scores_licence_and_files(saved):
    card = (saved / 'README.md').read_text()
    protocol = get_protocol('rooms_10').describe()
    assert f'Protocol `rooms_10`, fingerprint `{protocol["fingerprint"]}`' in card
    assert '| abs_rel | 0.25 |' in card
    assert card.startswith('---\nlibrary_name: depth-toolbox\n')
    assert '\nlicense: mit\n' in card
    digest = hashlib.sha256((saved / 'model.safetensors').read_bytes()).hexdigest()
    assert digest in card
    assert set(load_file(saved / 'model.safetensors')) == set(from_pretrained(saved).state_dict())


def test_an_unknown_licence_and_unknown_scores_are_said(model, saved, tmp_path):
    card = (save_pretrained(model, tmp_path / 'm') / 'README.md').read_text()
    assert 'Weights: not stated.' in card
    assert 'No scores of these weights are known.' in card
    again = save_pretrained(from_pretrained(saved), tmp_path / 'again')
    assert '| abs_rel | 0.25 |' in (again / 'README.md').read_text()  # what its author stated
    with pytest.raises(ValueError, match='abs_rel is nan, expected a finite number'):
        save_pretrained(model, tmp_path / 'm', metrics=dict(abs_rel=float('nan')))


def test_the_card_names_the_licence_of_published_weights():
    from depth.apis.model_card import licence_facts, licence_text

    facts = licence_facts(dict(load_published=dict(method='depth_anything_v2')))
    assert facts['url'] == SOURCES['depth_anything_v2'].url
    assert 'CC-BY-NC-4.0' in licence_text(dict(published=facts))


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('config.json', '{', 'is damaged'),
        ('config.json', '[' * 100_000, 'is damaged'),
        ('config.json', '{"model_type": "dpt"}', "its format is not 'depth-toolbox model 1'"),
        ('config.json', None, 'has no config.json'),
        ('model.safetensors', None, r'has no model\.safetensors'),
        ('model.safetensors', 'x' * 100, 'is not the file that .* describes'),
    ],
)
def test_a_damaged_folder_is_refused_in_words(copy, name, content, message):
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        from_pretrained(copy)


def test_nothing_of_a_folder_is_executed_or_imported(copy, monkeypatch):
    sign = copy / 'executed'
    code = f'open({str(sign)!r}, "w").close()\n'
    for name in ('modeling.py', 'evil_module.py', '__init__.py', 'conftest.py', 'setup.py'):
        (copy / name).write_text(code)
    monkeypatch.syspath_prepend(str(copy))
    monkeypatch.chdir(copy)
    from_pretrained(copy)
    data = module._decode(json.loads((copy / 'config.json').read_text())['config'])
    change(copy, config=module._encode(dict(data, custom_imports=dict(imports=['evil_module']))))
    with pytest.raises(ValueError, match="imports 'evil_module'"):
        from_pretrained(copy)
    model = dict(data['model'], backbone=dict(type='evil_module.Net'))
    change(copy, config=module._encode(dict(data, model=model)))
    with pytest.raises(ValueError, match='is in no registry of the toolbox'):
        from_pretrained(copy)
    change(copy, config={'__tuple__': 5})
    with pytest.raises(ValueError, match='its config cannot be read'):
        from_pretrained(copy)
    assert not sign.exists()


def test_tied_weights_are_saved_under_each_name():
    value = torch.arange(6.0).view(2, 3)
    state = module._separate_tensors(dict(a=value, b=value, c=value.T))
    assert len({item.data_ptr() for item in state.values()}) == 3
    assert torch.equal(state['c'], value.T)
    assert state['c'].is_contiguous()


def test_an_unknown_name_gets_the_nearest_ones():
    with pytest.raises(ValueError, match='did you mean depth_anything_v2_vits_relative'):
        from_pretrained('depth_anything_v2_vits_relativ')


class FakeHub:
    """The requests of the Hugging Face Hub that a download needs."""

    def __init__(self, folder):
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        files['modeling.py'] = b'raise SystemExit'
        self.files, self.requests = files, []
        commit, state = 'a' * 40, self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_HEAD(self):
                self.do_GET()

            def do_GET(self):
                state.requests.append(self.path)
                name = self.path.rsplit('/', 1)[-1]
                headers = {'X-Repo-Commit': commit}
                if '/tree/' in self.path:
                    entries = []
                    for file, data in state.files.items():
                        entry = dict(type='file', path=file, size=len(data), oid=file)
                        entries.append(entry)
                    content = json.dumps(entries).encode()
                    headers['Content-Type'] = 'application/json'
                elif self.path.startswith('/api/models/owner/tiny'):
                    siblings = [dict(rfilename=file) for file in state.files]
                    info = dict(id='owner/tiny', sha=commit, siblings=siblings, tags=[])
                    content = json.dumps(info | dict(private=False, downloads=0, likes=0)).encode()
                    headers['Content-Type'] = 'application/json'
                elif self.path.startswith('/owner/tiny/resolve/') and name in state.files:
                    content = state.files[name]
                    headers['ETag'] = f'"{hashlib.sha256(content).hexdigest()}"'
                else:
                    self.send_error(404)
                    return
                self.send_response(200)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header('Content-Length', str(len(content)))
                self.end_headers()
                if self.command == 'GET':
                    self.wfile.write(content)

        self.server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.address = f'http://127.0.0.1:{self.server.server_address[1]}'
        threading.Thread(
            target=self.server.serve_forever, kwargs=dict(poll_interval=0.01), daemon=True
        ).start()


def test_a_repository_gives_the_model_without_its_code(saved, model, tmp_path):
    pytest.importorskip('huggingface_hub')
    fake = FakeHub(saved)
    options = dict(cache_dir=tmp_path, endpoint=fake.address, show_progress=False)
    loaded = from_pretrained('owner/tiny', **options)
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert not any('modeling.py' in request for request in fake.requests)
    fake.server.shutdown()
    fake.server.server_close()
    # The cache answers without the server.
    from_pretrained('owner/tiny', local_files_only=True, **options)
    with pytest.raises(
        ConnectionError, match=r'or/other could not be fetched: .* by hand into a folder'
    ):
        from_pretrained('or/other', **options)


def test_an_upload_sends_the_three_files_alone(copy, model, monkeypatch):
    hub = pytest.importorskip('huggingface_hub')
    calls = []

    class Api:
        def __init__(self, **options):
            pass

        def create_repo(self, *args, **options):
            calls.append((args, options))

        def upload_folder(self, **options):
            calls.append(options)
            files = sorted(path.name for path in options['folder_path'].iterdir())
            calls.append(files)
            return type('Commit', (), dict(commit_url='http://hub/commit/1'))

    monkeypatch.setattr(hub, 'HfApi', Api)
    (copy / 'secret.txt').write_text('x')
    assert push_to_hub(copy, 'owner/tiny') == 'http://hub/commit/1'
    assert calls[0] == (('owner/tiny',), dict(private=True, exist_ok=True))
    assert calls[1]['allow_patterns'] == ['model.safetensors', 'config.json', 'README.md']
    push_to_hub(model, 'owner/tiny', licence='Apache-2.0')
    assert calls[-1] == ['README.md', 'config.json', 'model.safetensors']
    with pytest.raises(ValueError, match='OWNER/NAME'):
        push_to_hub(copy, 'tiny')
    monkeypatch.undo()
    with pytest.raises(ConnectionError, match=r'owner/tiny: the upload failed: .*'):
        push_to_hub(copy, 'owner/tiny', endpoint='http://127.0.0.1:9', token='hf_x')
