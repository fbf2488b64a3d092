"""``python -m flumebeam.pipelines NAME``: a pipeline by name, interruptible while Beam is still being imported.

Whoever starts it may block SIGINT for it, so that one that comes before Python is up waits until it can be answered.
One that was started as a part dies with whoever started it.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from flumebeam.errors import ConfigurationError
from flumebeam.exits import Exit
from flumebeam.pipelines import registry
from flumebeam.pipelines.processes import die_with_parent


def _run(argv: Sequence[str]) -> int:
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        return registry.load(argv[0] if argv else "").main(argv[1:])
    except ConfigurationError as error:
        sys.stderr.write(f"flumebeam: {error}\n")
        return Exit.USAGE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


if __name__ == "__main__":
    die_with_parent()
    sys.exit(_run(sys.argv[1:]))
