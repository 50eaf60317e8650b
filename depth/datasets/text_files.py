"""Reading of text files, with an error in words for a file that holds no text."""

from pathlib import Path


def read_text(path: str | Path, description: str) -> str:
    """Return the content of a UTF-8 text file.

    Args:
        path: The file; it exists.
        description: Name of its kind for the message: ``split file``.

    Raises:
        ValueError: If it is no text.
    """
    content = Path(path).read_bytes()
    try:
        text = content.decode('utf-8')
    except UnicodeDecodeError as error:
        raise ValueError(
            f'{description} {path} is no text: byte {error.start} is no UTF-8; was another file '
            'named?'
        ) from error
    # A zero byte is valid UTF-8, and a sign of a binary file that was named by mistake.
    if '\0' in text:
        raise ValueError(
            f'{description} {path} is no text: byte {content.index(0)} is 0; was another file '
            'named?'
        )
    return text
