"""Makes the virtual environment of the Makefile: `python3 .ci/make_venv.py FOLDER`.

Debian's Python comes without ensurepip until python3-venv is installed. Then pip's wheel is
fetched from PyPI and put in, so that a machine with Python and make needs nothing by hand.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import urllib.request
import venv
import zipfile
from pathlib import Path


def main(folder: Path) -> None:
    python = folder / "bin" / "python"
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        venv.create(folder, symlinks=True)
        index = json.load(urllib.request.urlopen("https://pypi.org/pypi/pip/json", timeout=60))
        wheel = next(f["url"] for f in index["urls"] if f["packagetype"] == "bdist_wheel")
        packages = next((folder / "lib").glob("python3.*/site-packages"))
        zipfile.ZipFile(io.BytesIO(urllib.request.urlopen(wheel, timeout=60).read())).extractall(packages)
    else:
        venv.create(folder, symlinks=True, with_pip=True)
    subprocess.run([python, "-m", "pip", "--version"], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - this runs on whatever python3 there is
        sys.exit(f"Python 3.11 or later is needed, this is {sys.version.split()[0]}: make PYTHON=/path/to/python3.11 ...")
    main(Path(sys.argv[1]))
