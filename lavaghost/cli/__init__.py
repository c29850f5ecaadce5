"""The command line: the only room that knows all the others.

`main` turns every foreseen fault into one line on standard error and an exit code: 0 good, 1 a negative
result, 2 bad input, 3 something needed is not installed, 130 interrupted.
"""

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import click

from lavaghost.base.errors import LavaGhostError
from lavaghost.cli import adapt, compare, exports, hardware, imports, quantize, train
from lavaghost.cli.commands import cli
from lavaghost.cli.console import fail, warnings_shown, write

__all__ = ["main"]

for group in (train, compare, adapt, imports, exports, hardware, quantize):
    for command in group.COMMANDS:
        cli.add_command(command)


class _Terminated(KeyboardInterrupt):
    """The process is asked to end: what Ctrl-C undoes and closes is undone and closed."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""

    def terminate(_number: int, _frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
        raise _Terminated

    signal.signal(signal.SIGTERM, terminate)
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    before = sys.stdout
    try:
        with warnings_shown():
            code = cli.main(args=arguments, prog_name="lavaghost", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        write(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        return _fail(error.format_message(), 2)
    except LavaGhostError as error:
        return _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, click.exceptions.Abort) as error:
        if isinstance(error, _Terminated) or isinstance(error.__cause__, _Terminated):
            return _fail("ended by SIGTERM; a training run goes on with --resume", 143)
        return _fail("interrupted; a training run goes on with --resume", 130)
    except SystemExit as end:
        # when the reader of what click prints, such as help, has gone, it ends so, and puts a wrapper over the pipe
        return 0 if sys.stdout is not before else int(end.code or 0)
    except MemoryError:
        return _fail("not enough memory; lower learning.batch_size or the layer sizes", 2)
    except Exception as error:
        if os.environ.get("LAVAGHOST_TRACEBACK"):
            raise
        return _fail(
            f"internal error: {type(error).__name__}: {error}; please report it with the traceback "
            "that LAVAGHOST_TRACEBACK=1 shows",
            1,
        )


def _fail(message: str, code: int) -> int:
    # a Lava fault carries its process's traceback below the first line
    fail(message)
    return code
