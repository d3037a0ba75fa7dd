"""Upstream's documentation names this module, too."""

from accel_pattern.testing import *  # noqa: F403 - the names are those of the kit
from accel_pattern.testing import __all__  # noqa: F401 - named again, for `import *`
