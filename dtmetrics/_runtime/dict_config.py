"""``dict_config()`` and ``file_config()``: ``configure()`` from a document."""

from __future__ import annotations

import os
from collections.abc import Mapping

from dtmetrics._core.secret import Secret
from dtmetrics._runtime.runtime import default

__all__ = ["dict_config", "file_config"]


def dict_config(settings: Mapping[str, object], *, force: bool = False) -> None:
    """Start recording as ``configure()`` does, with settings from a mapping.

    For settings that a program reads from a document of its own, such as one in YAML.
    The names and values are those of ``configure()``, but the values are texts,
    numbers, booleans, lists and mappings: nothing in them is called or imported.
    *exporter* is left out for that reason, and *exporters* is a list of the names
    ``"dynatrace"`` and ``"console"``.

    A setting of the mapping wins over the environment variable of the same setting, as
    an argument of ``configure()`` does. The file that ``DTMETRICS_CONFIG`` names is not
    read.

    Args:
        settings (Mapping[str, object]): Values by the name of the setting. A value None
            counts as not set, except for *interval*.
        force (bool): Replace the running configuration, as ``configure(force=True)``
            does. Without it a second call changes nothing. Default: False.

    Raises:
        ConfigError: A setting is unknown or invalid. ``problems`` has a sentence for
            each.
        DefinitionError: An instrument that was defined before the call has an invalid
            definition, and *strict* is true.

    >>> from dtmetrics import dict_config, shutdown
    >>> dict_config({"interval": None, "dimensions": {"service": "shop"}})
    >>> shutdown()
    True
    >>> dict_config({"levles": {"shop.db": "DEBUG"}})
    Traceback (most recent call last):
        ...
    dtmetrics.errors.ConfigError: levles is not a setting (did you mean levels?)
    """
    held = Secret(settings)
    del settings  # error reporters print the local variables of this frame
    default.dict_config(held, force=force)


def file_config(path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Start recording as ``configure()`` does, with settings from a file.

    The file is in TOML, or in JSON if its name ends in ``.json``. In a file of the name
    ``pyproject.toml`` the settings are in the table ``[tool.dtmetrics]``. Names and
    values are those of ``dict_config()``. A name with a dot is in quotes, because TOML
    takes ``shop.db`` without them as a table in a table::

        interval = 10

        [levels]
        "shop.db" = "DEBUG"

    The file is looked at once a minute, and at once after a SIGHUP. A new version is
    applied as ``configure(force=True)`` applies other arguments: nothing that was
    recorded is lost. A version that is invalid changes nothing, and is logged with all
    its problems. A thread follows the file from the first record in each process on. A
    SIGHUP is handled only if nothing else in the program handles it and the process has
    no terminal, and only if the call is made in the main thread.

    Without this call, ``configure()`` reads and follows the file that the environment
    variable ``DTMETRICS_CONFIG`` names. An argument then wins over a variable, and a
    variable over the file. With this call, the settings of the file count as arguments,
    and that variable is not read.

    Args:
        path (str | os.PathLike): The file, of at most 262144 bytes.
        force (bool): Replace the running configuration, as ``configure(force=True)``
            does. Without it a second call changes nothing. Default: False.

    Raises:
        ConfigError: The file cannot be read or parsed, or a setting is unknown or
            invalid. ``problems`` has a sentence for each. On Python 3.10, TOML needs
            the extra ``toml``.
        DefinitionError: An instrument that was defined before the call has an invalid
            definition, and *strict* is true.

    >>> import tempfile
    >>> from dtmetrics import file_config, shutdown
    >>> with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
    ...     _ = file.write('{"interval": null, "level": "DEBUG"}')
    ...     file.flush()
    ...     file_config(file.name)
    >>> shutdown()
    True
    """
    default.file_config(path, force=force)
