"""Which movie format can be written here; every workflow asks, so it loads no library."""

import shutil
from importlib.util import find_spec


def find_ffmpeg() -> str | None:
    """Return the path of an ffmpeg: the system's, or the one that imageio-ffmpeg brings along."""
    found = shutil.which("ffmpeg")
    if found is None and find_spec("imageio_ffmpeg"):
        from imageio_ffmpeg import get_ffmpeg_exe  # noqa: PLC0415 it may be absent

        found = get_ffmpeg_exe()
    return found


def choose_movie() -> str:
    """Return ``mp4``, or ``gif`` where no ffmpeg is found."""
    return "mp4" if find_ffmpeg() else "gif"
