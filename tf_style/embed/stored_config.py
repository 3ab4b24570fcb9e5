"""How Keras layers and losses are stored: every choice by its value, and a format number.

A stored layer or loss stays what it was when a default or a preset changes. Format 1 had no number;
`PerceptualLoss` then kept only the settings that it was given.
"""

from typing import Any

from tf_style.errors import InputError

FORMAT = 2


class StoredConfig:
    """A mixin, before the Keras class: `get_config` and `from_config` by `self._config`."""

    _config: dict[str, Any]

    def get_config(self) -> dict[str, Any]:
        """What the constructor takes, and the format."""
        return {**super().get_config(), "format": FORMAT, **self._config}

    @classmethod
    def from_config(cls, config: dict[str, Any]):
        """The inverse of `get_config`, for this format and the earlier one.

        Raises:
          InputError: If it was stored by a later version in a format that is not known here.
        """
        config = dict(config)
        stored_format(config)
        config.pop("format", None)
        return super().from_config(config)


def stored_format(config: dict[str, Any]) -> int:
    """The format of a configuration.

    Raises:
      InputError: If it is not known.
    """
    found = config.get("format", 1)
    if found not in (1, FORMAT):
        raise InputError(
            f"A stored layer or loss has format 1 or {FORMAT}; a later version of tf_style can read "
            f"others. Received: format={found!r}"
        )
    return found
