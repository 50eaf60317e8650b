import json

import numpy as np
import pytest
import torch

from depth.apis import from_pretrained
from depth.apis import published_files as module
from depth.apis.published_files import fetch_published, list_published, published_path
from depth.engine.converters import SOURCES, PublishedFile
from depth.engine.converters.convert import shipped_configs
from tests.data_tools.prepare.server import serve
from tests.shared import REPO

CONTENT = np.random.RandomState(0).bytes(300_000)
NAME = 'tiny_published'


@pytest.fixture
def server():
    with serve() as server:
        server.files['/tiny.pth'] = CONTENT
        yield server


@pytest.fixture
def publish(server, monkeypatch):
    """Publish ``tiny.pth`` of the server under a name, with what its publisher states."""

    def publish(licence='MIT', size=None, sha256=None, name=NAME):
        file = PublishedFile(server.url('tiny.pth'), licence, size, sha256)
        monkeypatch.setattr(module, 'list_published', lambda: {name: ('zoedepth', file)})

    # Retries wait for seconds.
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    return publish


def test_every_published_file_belongs_to_a_shipped_config():
    for name, (method, file) in list_published().items():
        assert name in {path.stem for path in shipped_configs(method, REPO)}
        assert file.url.startswith('https://')
        # A hash that nobody published is never stated.
        assert file.sha256 is None or len(file.sha256) == 64
        stated = SOURCES[method].weights_licence
        if file.licence in ('Apache-2.0', 'MIT', 'CC-BY-NC-4.0'):
            assert file.licence in stated, name


def test_a_file_is_fetched_with_progress_recorded_and_compared(publish, server, tmp_path, capsys):
    publish()
    path = fetch_published(NAME, tmp_path)
    assert path == published_path(NAME, tmp_path)
    assert path.read_bytes() == CONTENT
    assert 'tiny.pth: 0.3 MB of 0.3 MB (100 %)' in capsys.readouterr().err
    module.record_published(NAME, tmp_path)
    record = json.loads(path.with_name('tiny.pth.record.json').read_text())
    assert record['size'] == 300_000
    assert 'its publisher states no SHA-256' in record['note']
    fetch_published(NAME, tmp_path)
    assert len(server.gets()) == 1  # the second call did not ask the server
    path.write_bytes(CONTENT[:-1] + b'x')
    with pytest.raises(ValueError, match=r'SHA-256 .* is recorded in tiny.pth.record.json'):
        fetch_published(NAME, tmp_path)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(ValueError, match='has 299999 bytes, 300000 are recorded'):
        fetch_published(NAME, tmp_path)


def test_a_broken_download_continues(publish, server, tmp_path):
    publish()
    server.break_after, server.breaks = 100_000, 2
    assert fetch_published(NAME, tmp_path, show_progress=False).read_bytes() == CONTENT
    assert server.gets() == [None, 'bytes=100000-', 'bytes=200000-']


def test_a_wrong_hash_or_length_is_refused_and_nothing_is_left(publish, server, tmp_path):
    publish(sha256='0' * 64)
    with pytest.raises(ValueError, match=f'expected {"0" * 64}'):
        fetch_published(NAME, tmp_path, show_progress=False)
    publish(size=300_001)
    with pytest.raises(ValueError, match='has 300000 bytes, expected 300001'):
        fetch_published(NAME, tmp_path, show_progress=False)
    assert not list(published_path(NAME, tmp_path).parent.iterdir())


def test_a_server_that_announces_more_than_it_sends_is_noticed(publish, server, tmp_path):
    publish()
    server.break_after, server.breaks = 0, 1000
    with pytest.raises(ConnectionError) as caught:
        fetch_published(NAME, tmp_path, show_progress=False)
    path = published_path(NAME, tmp_path)
    assert f'fetch {server.url("tiny.pth")} by hand and put it at {path}' in str(caught.value)
    assert not path.exists()


def test_offline_the_message_says_what_to_put_where(publish, server, monkeypatch, tmp_path):
    file = PublishedFile('http://127.0.0.1:9/a/b.pt?download=true', 'MIT')
    monkeypatch.setattr(module, 'list_published', lambda: {NAME: ('zoedepth', file)})
    path = tmp_path / 'published' / NAME / 'b.pt'
    for options in (dict(local_files_only=True), dict()):
        with pytest.raises(ConnectionError, match=f'by hand and put it at {path}'):
            fetch_published(NAME, tmp_path, show_progress=False, **options)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(CONTENT)
    assert fetch_published(NAME, tmp_path, local_files_only=True) == path


def test_licences_that_restrict_are_asked_for(publish, server, tmp_path):
    publish(licence='CC-BY-NC-4.0')
    with pytest.raises(
        PermissionError, match=r"give accept_licence='CC-BY-NC-4\.0', or fetch http"
    ):
        fetch_published(NAME, tmp_path)
    publish(licence='')
    with pytest.raises(PermissionError, match='its authors state no licence'):
        fetch_published(NAME, tmp_path, accept_licence='CC-BY-NC-4.0')
    assert server.requests == []
    publish(licence='CC-BY-NC-4.0')
    assert fetch_published(NAME, tmp_path, 'CC-BY-NC-4.0', show_progress=False).is_file()


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv('DEPTH_CACHE', str(tmp_path / 'a'))
    assert module.cache_folder() == tmp_path / 'a'
    monkeypatch.delenv('DEPTH_CACHE')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert module.cache_folder() == tmp_path / 'depth-toolbox'


def test_published_weights_become_a_model_by_name(publish, monkeypatch, tmp_path):
    """The cache holds a file, as after a download or by hand; it is converted and recorded."""
    name = 'depth_anything_tiny_rooms'
    publish(licence='', name=name)
    monkeypatch.setattr('depth.apis.hub.list_published', module.list_published)
    from depth.apis import init_model

    torch.manual_seed(0)
    model = init_model(REPO / 'configs/synthetic/depth_anything_tiny_rooms.py')
    path = published_path(name, tmp_path)
    path.parent.mkdir(parents=True)
    torch.save(model.state_dict(), path)
    loaded = from_pretrained(name, cache_dir=tmp_path)
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    assert path.with_name('tiny.pth.record.json').is_file()
