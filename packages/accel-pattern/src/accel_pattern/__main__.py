"""`python -m accel_pattern`: the command `accel`."""

import sys

from accel_pattern._cli import main

sys.exit(main())
