"""``depth doctor``: one line a check, and an exit code that says whether all is well."""

from depth.cli.doctor import main


def test_a_working_installation_has_no_error(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    output = capsys.readouterr().out
    assert 'configs and' in output
    assert '\nerror' not in output
    assert output.endswith('everything that is needed works\n')


def test_data_that_is_missing_is_an_error_in_words(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(['densedepth_r18_folder']) == 1
    assert 'data/folder/train' in capsys.readouterr().out


def test_a_config_that_works(capsys):
    assert main(['depthformer_tiny_rooms']) == 0
    assert 'can be used' in capsys.readouterr().out


def test_a_missing_library_is_named(capsys, monkeypatch):
    monkeypatch.setattr('depth.cli.doctor.LIBRARIES', ('torch', 'no-such-library'))
    assert main([]) == 1
    assert 'not installed: no-such-library' in capsys.readouterr().out
