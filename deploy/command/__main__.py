"""Start the operator's command: `pause-notifications`, or `python -m deploy.command`."""

from __future__ import annotations

import sys

_EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the command line. Ctrl-C ends it without a traceback, also while its modules are still imported."""
    try:
        from deploy.command.app import app, configure  # noqa: PLC0415 - under the try, so that Ctrl-C may come meanwhile

        app(prog_name="pause-notifications", obj=configure)
    except KeyboardInterrupt:
        sys.exit(_EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
