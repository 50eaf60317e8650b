import shutil

from tests.faults.write_page import PAGE, SUBJECTS, load_cases, write_page


def test_the_page_shows_the_fault_tables_as_they_are(tmp_path):
    copy = tmp_path / 'reliability.md'
    shutil.copy(PAGE, copy)
    write_page(copy)
    assert copy.read_text() == PAGE.read_text(), 'run python tests/faults/write_page.py'


def test_there_are_enough_faults_and_each_has_a_name_of_its_own():
    names = [fault.name for subject in SUBJECTS for fault in load_cases(subject)]
    assert len(names) >= 80
    for subject in SUBJECTS:
        own = [fault.name for fault in load_cases(subject)]
        assert len(own) == len(set(own)), subject
