"""Published split files of all registered data sets."""

from depth.data_tools.facts import list_datasets


def published_split_files():
    """Return the published split files of all registered data sets by their names."""
    files = {}
    for dataset in list_datasets():
        files |= dataset.SPLIT_FILES
    return files
