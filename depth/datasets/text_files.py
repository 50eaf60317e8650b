"""Text files of data sets, with an answer in words for a file that holds none."""

from pathlib import Path


def read_text(path: str | Path, what: str) -> str:
    """Return the content of a UTF-8 text file.

    Args:
        path: The file; it exists.
        what: What it is, for the message: ``split file``.

    Raises:
        ValueError: If it is no text.
    """
    content = Path(path).read_bytes()
    try:
        text = content.decode('utf-8')
    except UnicodeDecodeError as error:
        raise ValueError(
            f'{what} {path} is no text: byte {error.start} is no UTF-8; was another file named?'
        ) from error
    if '\0' in text:
        raise ValueError(
            f'{what} {path} is no text: byte {content.index(0)} is 0; was another file named?'
        )
    return text
