"""Exports a student: as a SavedModel for servers, or for TensorFlow Lite."""

import os
import pathlib

from tf_style.errors import InputError
from tf_style.serve import student_files, versions
from tf_style.serve.export import save_model
from tf_style.serve.student_signatures import StudentSignatures
from tf_style.student.stored import MIN_SIDE_PX
from tf_style.student.student import Student
from tf_style.transfer.settings import Settings


def export_student(
    student: str | os.PathLike,
    output: str | os.PathLike,
    *,
    size: int = 512,
    version: int | None = None,
    precision: str = "float32",
) -> pathlib.Path:
    """Writes a SavedModel that renders pictures by a student, for TensorFlow Serving and the like.

    Signatures, each with an unknown number of pictures:
      serving_default: `image_bytes` string [None] to `stylized_bytes` string [None], PNG.
      stylize_strength: `image_bytes` and `strength`, float32 [None], to `stylized_bytes`; it is there
        where the student has a dial.
      stylize_blend: `image_bytes` and `style_blend`, float32 [None, styles], to `stylized_bytes`; it is
        there where the student has several styles.
      stylize_tensor: `images` float32 [None, None, None, 3] in 0..1, in their own size, to `stylized`,
        of the same shape.

    Args:
      student: Its folder.
      output: The model's folder; the export is its subfolder `version`.
      size: What a picture's longer side is resized to.
      version: 1 or more; None for the number after the highest there.
      precision: Of the network; float32 by default, because it is fast everywhere.

    Returns:
      The folder of the version.

    Raises:
      InputError: If there is no whole student, the version exists, or the folder cannot be written.
    """
    folder = pathlib.Path(output)
    versions.check(folder, version)
    if Settings(size=size).size < MIN_SIDE_PX:  # What no picture can have is refused by it.
        raise InputError(f"size is {MIN_SIDE_PX} or more. Received: {size}")
    loaded = Student.load(student, precision=precision, device="/CPU:0")
    with versions.new(folder, version) as made:
        signatures = StudentSignatures(loaded, size)
        save_model(signatures.stored, signatures.traced(), made.temporary)
        student_files.write_all(made.temporary, loaded, size, name=folder.resolve().name)
    return made.folder
