"""Record of an output folder of inference: which image each result belongs to, over all calls."""

import json
from pathlib import Path

from depth.atomic_write import remove_leftovers, write_atomically

from .inputs import REPORT, REPORT_FORMAT, InputImage, assign_names, folded, read_report


class OutputReport:
    """``report.json`` of an output folder: the image of each result name, over all calls.

    Args:
        out_dir: The output folder.
        images: Images of this call; they get their final names.

    Raises:
        FileExistsError: If there is a ``report.json`` of something else, or the folder is a file.
    """

    def __init__(self, out_dir: Path, images: list[InputImage]) -> None:
        self.out_dir, self.images = out_dir, images
        self.path = out_dir / REPORT
        if out_dir.exists() and not out_dir.is_dir():
            raise FileExistsError(f'--out-dir {out_dir} is a file; name a folder')
        content = read_report(self.path)
        if self.path.exists() and not content:
            raise FileExistsError(
                f'{self.path} is no report of inference and would be replaced; choose another '
                '--out-dir'
            )
        self.earlier_inputs: dict[str, str] = {}
        for entry in content.get('images', []):
            self.earlier_inputs[entry['name']] = entry['input']
        assign_names(images, self.earlier_inputs)

    def check_result_paths(self, paths: dict[str, list[str]]) -> None:
        """Check that no result would replace a file that inference did not write.

        Args:
            paths: Result paths below the folder, by the name of the image.

        Raises:
            FileExistsError: If one would.
        """
        earlier_names = set(map(folded, self.earlier_inputs))
        for image in self.images:
            if folded(image.name) in earlier_names:
                continue
            for result in paths[image.name]:
                path = self.out_dir / result
                if path.exists():
                    raise FileExistsError(
                        f'{path} exists and was not written by inference ({self.path} does not '
                        f'list it), the result of {image.label} would replace it; choose another '
                        '--out-dir or remove it'
                    )

    def remove_leftovers(self, paths: dict[str, list[str]]) -> None:
        """Remove temporary files of a killed inference from the folders that this one writes to."""
        folders = {self.out_dir}
        for results in paths.values():
            folders.update((self.out_dir / result).parent for result in results)
        for folder in folders:
            remove_leftovers(folder)

    def write(self, result: dict) -> None:
        """Write the report; entries of earlier calls and of other processes are kept."""
        # Read again: another process may have written to the folder since this one started.
        entries = {}
        for entry in read_report(self.path).get('images', []) + result['images']:
            entries[entry['name']] = entry
        content = dict(format=REPORT_FORMAT, images=list(entries.values()), notes=result['notes'])
        write_atomically(self.path, json.dumps(content, indent=1, ensure_ascii=False) + '\n')
