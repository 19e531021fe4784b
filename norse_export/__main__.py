"""python -m norse_export: the command line."""

from __future__ import annotations

import sys

from norse_export.cli import main

sys.exit(main())
