"""What the process has done that `tests.forks` forks: the notices are compiled once, for all replicas."""

from __future__ import annotations

import gc

from consumers.notices.notices import Notices

Notices()
gc.freeze()  # a fork then copies fewer pages
