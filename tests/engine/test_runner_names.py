"""Two runs of one process have logs of their own, even in the same second."""

import time

from depth.engine.config import load_config
from depth.engine.runner import build_runner
from tests.shared import REPO


def test_runs_of_one_second_share_neither_logger_nor_folder(tmp_path, monkeypatch):
    moment = time.time()
    monkeypatch.setattr('mmengine.runner.runner.time.time', lambda: moment)
    runners = []
    for name in ('first', 'second'):
        cfg = load_config(REPO / 'configs/synthetic/dpt_tiny_rooms.py')
        cfg.work_dir = str(tmp_path / name)
        runners.append(build_runner(cfg))
    first, second = runners
    assert first.timestamp != second.timestamp
    assert first.logger is not second.logger
    assert first.message_hub is not second.message_hub
    # The second runner did not take over the handlers, and with them the file, of the first.
    files = [
        {getattr(handler, 'baseFilename', None) for handler in runner.logger.handlers} - {None}
        for runner in runners
    ]
    assert files[0] and files[1] and not files[0] & files[1]
