"""What the settings that a record of format 1 (version 0.1.0) left out meant when it was written.

A request then held only the flags that were given, and a `PerceptualLoss` only the settings. So the
defaults and the presets of that version are in data/requests_format_1.json.
"""

import functools
import importlib.resources
import json
from collections.abc import Mapping
from typing import Any

from tf_style.objective.presets import Preset, read_preset
from tf_style.transfer.settings import Settings


def resolve(given: Mapping[str, Any], *, has_content: bool, num_styles: int) -> Preset:
    """The objective that settings meant.

    Args:
      given: Those that were given, by the names of `Settings`' fields.
      has_content: As for `Settings.resolve`.
      num_styles: As for `Settings.resolve`.

    Raises:
      InputError: If they contradict each other or are wrong.
    """
    meaning = _meaning()
    presets = {
        name: read_preset({"source": "version 0.1.0", **fields})
        for name, fields in meaning["presets"].items()
    }
    settings = Settings(**{"preset": meaning["settings"]["preset"], **given})
    # What had no effect was taken then, and does no harm now.
    return settings.resolve(has_content=has_content, num_styles=num_styles, presets=presets, given=())


def complete(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the defaults of then for what was not given, but for what the preset says."""
    settings = {**_meaning()["settings"], **given}
    return {"history": _meaning()["pairs"].get(settings["optimizer"]), **settings}


@functools.cache
def _meaning() -> dict[str, Any]:
    path = importlib.resources.files("tf_style") / "data" / "requests_format_1.json"
    return json.loads(path.read_text(encoding="utf-8"))
