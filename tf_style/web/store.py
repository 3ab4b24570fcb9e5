"""What the studio keeps in its folder: uploads, runs and their pictures, within a quota.

    token                the token of the address
    open.html            sends the browser there, while the studio is up
    uploads/ID.jpg       a picture as it was uploaded, named after its bytes and its format
    uploads/ID.json      what is known of it; ID.preview how it looks
    runs/ID/run.json     what a run was asked for, and what became of it
    runs/ID/picture.png  its picture; preview.jpg how it looks; checkpoint/ while it is not done

Every name is made here: none comes from a client.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from tf_style.commands import sandbox
from tf_style.errors import InputError, TransferError
from tf_style.files import reason_of, shown, write_atomically
from tf_style.transfer import checkpoint
from tf_style.web import private_folder
from tf_style.web.students import Student

MAX_UPLOAD_BYTES = 64 * 2**20
MAX_UPLOAD_PIXELS = 2**26
MAX_UPLOADS = 2000
PREVIEW_PX = 1024
# An upload that no run uses is deleted after this long, when the studio starts.
UNUSED_SECONDS = 24 * 3600
MAX_NAME = 80
_UPLOAD = re.compile(r"[0-9a-f]{32}")
_RUN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
_SUFFIXES = {
    **{"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tif"},
    **{"BMP": ".bmp", "GIF": ".gif", "AVIF": ".avif"},
}
_EXAMPLES = pathlib.Path(__file__).parent / "examples"
# Photographs, and then paintings.
EXAMPLES = {"chelsea": "content", "coffee": "content"} | dict.fromkeys(
    ("style", "mosaic", "strokes", "washes", "woodcut"), "style"
)


class NotFoundError(InputError):
    """There is no such picture or run."""


class QuotaError(InputError):
    """The folder holds as much as it may."""


@dataclasses.dataclass(frozen=True)
class Upload:
    """A picture that a run can be made from.

    Attributes:
      id: Its name in the API.
      path: The file.
      name: What to call it on the page.
      height: In pixels.
      width: In pixels.
    """

    id: str
    path: str
    name: str
    height: int
    width: int

    def as_dict(self) -> dict[str, Any]:
        """As the API shows it."""
        return {"id": self.id, "name": self.name, "width": self.width, "height": self.height}


class Store:
    """The folder, and what names in the API stand for.

    Attributes:
      folder: Where it is.
      quota_bytes: What it may take.
      students: The students that can be chosen, by their folders' names.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        quota_bytes: int,
        students: Mapping[str, Student] = MappingProxyType({}),
    ):
        """Makes the folder, for its owner alone.

        Args:
          folder: Where.
          quota_bytes: What all in it may take before nothing more is accepted.
          students: As from `students.read`.

        Raises:
          InputError: If nothing can be written there, or others can.
        """
        self.folder = pathlib.Path(folder).absolute()
        self.quota_bytes, self.students = quota_bytes, students
        self._uploads, self._runs = self.folder / "uploads", self.folder / "runs"
        # Two uploads of the same bytes have one name.
        self._adding = threading.Lock()
        for each in (self.folder, self._uploads, self._runs):
            private_folder.make(each)

    def used_bytes(self) -> int:
        """What all files take."""
        total = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # It was deleted meanwhile.
                    total += os.lstat(os.path.join(folder, name)).st_size
        return total

    def check_room(self, more_bytes: int = 0) -> None:
        """Refuses more, where there is as much as there may be.

        Args:
          more_bytes: What is about to come, as far as that is known.

        Raises:
          QuotaError: If so.
        """
        if self.used_bytes() + more_bytes >= self.quota_bytes:
            raise QuotaError(
                f"The studio's folder holds the {self.quota_bytes / 2**30:.3g} GiB that it may: delete "
                "pictures, or start it with a larger --quota."
            )

    @contextlib.contextmanager
    def incoming(self) -> Iterator[pathlib.Path]:
        """A path for a file that arrives, which is gone afterwards unless `add` took it."""
        path = self._uploads / f"{secrets.token_hex(8)}.part"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def add(self, path: pathlib.Path, name: str, *, is_mask: bool) -> Upload:
        """Takes a file that has arrived, decoded in the sandbox first.

        Args:
          path: As from `incoming`.
          name: What its owner calls it; for the page alone.
          is_mask: Whether it is to be a mask.

        Raises:
          InputError: If it is no picture that can be read, or there are too many.
        """
        try:
            found = sandbox.thumbnail(
                path, side_px=PREVIEW_PX, max_pixels=MAX_UPLOAD_PIXELS, is_mask=is_mask
            )
        except InputError as error:
            raise InputError(str(error).replace(shown(path), "The file")) from None
        with open(path, "rb") as file:
            key = hashlib.file_digest(file, "sha256").hexdigest()[:32]
        target = self._uploads / f"{key}{_SUFFIXES[found.format]}"
        upload = Upload(key, str(target), _clean(name), found.height, found.width)
        record = json.dumps(upload.as_dict() | {"file": target.name})
        with self._adding:
            if sum(1 for _ in self._uploads.glob("*.json")) >= MAX_UPLOADS:
                raise QuotaError(f"The studio keeps {MAX_UPLOADS} uploads at most: delete runs.")
            path.chmod(0o600)
            os.replace(path, target)
            write_atomically(target.with_suffix(".preview"), found.jpeg)
            write_atomically(target.with_suffix(".json"), record.encode())
        return upload

    def find(self, key: Any) -> Upload:
        """A picture by its name in the API: an upload or an example.

        Raises:
          NotFoundError: If there is none.
        """
        text = key if isinstance(key, str) else ""
        if text.startswith("example-") and text[8:] in EXAMPLES:
            return _example(text[8:])
        if _UPLOAD.fullmatch(text):
            with contextlib.suppress(FileNotFoundError):
                stored = json.loads((self._uploads / f"{text}.json").read_bytes())
                path = str(self._uploads / stored.pop("file"))
                return Upload(path=path, **stored)
        raise NotFoundError(f"There is no picture {key!r}.")

    def settle(self, key: Any) -> Upload:
        """As `find`, and of "run-ID" a run's picture, which becomes an upload: decoded in the sandbox.

        Raises:
          NotFoundError: If there is none.
        """
        if isinstance(key, str) and key.startswith("run-"):
            return self._picture_as_upload(key[4:])
        return self.find(key)

    def student(self, name: str) -> str:
        """The folder of a student.

        Raises:
          NotFoundError: If there is none of that name.
        """
        if name not in self.students:
            raise NotFoundError(f"There is no student {name!r}: stylize-web --student names one.")
        return self.students[name].path

    def preview(self, upload: Upload) -> bytes:
        """How an upload or an example looks, a JPEG."""
        if upload.id.startswith("example-"):
            return pathlib.Path(upload.path).read_bytes()
        return pathlib.Path(upload.path).with_suffix(".preview").read_bytes()

    def _picture_as_upload(self, run: str) -> Upload:
        """A run's picture, kept also when the run is deleted."""
        picture = self.run_folder(run) / "picture.png"
        if not picture.is_file():
            raise NotFoundError(f"There is no picture of run {run!r}.")
        with self.incoming() as path:
            shutil.copyfile(picture, path)
            return self.add(path, f"picture of {run[9:11]}:{run[11:13]}", is_mask=False)

    def delete_unused(self, *, older_than: float = UNUSED_SECONDS) -> None:
        """Deletes uploads that no run's record names, also one that this version cannot load.

        Args:
          older_than: How old they are at least, in seconds.
        """
        used: set[str] = set()
        try:
            for record in self._runs.glob("*/run.json"):
                used.update(_UPLOAD.findall(record.read_text(errors="replace")))
        except OSError:  # What cannot be read may name any of them.
            return
        for path in self._uploads.iterdir():
            is_old = time.time() - path.stat().st_mtime >= older_than
            if is_old and path.stem not in used:
                path.unlink(missing_ok=True)

    def new_run(self) -> str:
        """The name of a run that begins, whose folder is made."""
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        (self._runs / name).mkdir(mode=0o700)
        return name

    def run_folder(self, name: str) -> pathlib.Path:
        """Where a run's files are.

        Raises:
          NotFoundError: If the name is none of a run.
        """
        folder = self._runs / name
        if not _RUN.fullmatch(name) or not folder.is_dir():
            raise NotFoundError(f"There is no run {name!r}.")
        return folder

    def save_run(self, name: str, record: dict[str, Any]) -> None:
        """Writes what is known of a run."""
        write_atomically(self.run_folder(name) / "run.json", json.dumps(record).encode())

    def load_runs(self) -> dict[str, Any]:
        """What was saved of all runs, by their names, the oldest first; None where it is damaged."""
        found = {}
        for folder in sorted(self._runs.iterdir()):
            if _RUN.fullmatch(folder.name):
                try:
                    found[folder.name] = json.loads((folder / "run.json").read_bytes())
                except (OSError, ValueError, RecursionError):
                    found[folder.name] = None
        return found

    def can_go_on(self, name: str) -> bool:
        """Whether a run has a checkpoint."""
        return checkpoint.is_in(self._runs / name / "checkpoint")

    def delete_run(self, name: str) -> None:
        """Deletes all files of a run; of one whose folder is gone there are none.

        Raises:
          TransferError: If they cannot be deleted.
        """
        try:
            shutil.rmtree(self.run_folder(name))
        except NotFoundError:
            return
        except OSError as error:
            raise TransferError(f"Run {name} was not deleted: {reason_of(error)}.") from error


def _example(name: str) -> Upload:
    from PIL import Image

    path = _EXAMPLES / f"{name}.jpg"
    with Image.open(path) as image:
        return Upload(f"example-{name}", str(path.resolve()), name, image.height, image.width)


def _clean(name: str) -> str:
    """A name for the page, in printable characters."""
    return "".join(each for each in name if each.isprintable())[:MAX_NAME] or "picture"
