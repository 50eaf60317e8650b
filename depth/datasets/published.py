"""Records of what a data set's publishers offer: archives and split files."""

from dataclasses import dataclass

TOOLBOX_SPLITS = (
    'https://raw.githubusercontent.com/zhyever/Monocular-Depth-Estimation-Toolbox/d8aff50/splits'
)
# The lists of EPCDepth are those of Monodepth2, under other names.
MONODEPTH2_SPLITS = (
    'https://raw.githubusercontent.com/nianticlabs/monodepth2/'
    'bd03a9ec1305082e80199bc2753ef5adb252e405/splits'
)


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """One published file of a data set.

    Attributes:
        part: The part of the data set that needs it; '' if every part does.
    """

    part: str = ''


@dataclass(frozen=True)
class Archive(PublishedFile):
    """One published archive, or a file that is read as it is.

    Attributes:
        name: File name in the archive folder.
        url: Official direct address; None if there is none, or a login is needed.
        about: Its size as its page gives it, for the plan.
        sha256: As published; None if nobody did, then the size that the server announces and the
            archive's own sums are checked.
        unpacked: Whether the archive is unpacked; False for a file that is read as it is.
    """

    name: str
    url: str | None = None
    about: str = 'size not published'
    sha256: str | None = None
    unpacked: bool = True


@dataclass(frozen=True)
class SplitFile(PublishedFile):
    """One published list of images.

    Attributes:
        lines: Number of its lines.
        usable: Number of its lines with ground truth.
        sha256: Of the file as published.
        url: Address of that copy, pinned to a commit; None where no address is certain.
        folder: Folder below the data set's root that receives it; '' for the root.
    """

    lines: int
    usable: int
    sha256: str
    url: str | None
    folder: str = ''
