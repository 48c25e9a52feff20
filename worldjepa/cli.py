"""The command line: ``worldjepa COMMAND ...``. Imports only the chosen command, and torch only when that runs."""

import importlib
import os
import sys

COMMANDS = {
    "doctor": "check this machine: rendering, versions that conflict, threads; and say what to do",
    "envs": "list the environments that can be made here, and what the missing ones need",
    "collect": "record episodes of a policy in an environment as a robomimic HDF5 file",
    "convert": "rewrite a data set (robomimic HDF5, Push-T zarr, Minari, images) as robomimic HDF5 or as a fast store",
    "inspect": "print what a data set holds: episodes, shapes, ranges, masks, faults",
    "train": "train a recipe (act_jepa, act, bc, gcbc, ac_jepa, seq_jepa, view_pairs) on a data set",
    "evaluate": "run a policy from a file of recorded starts: success with intervals, beside random and no-op floors",
    "imagine": "probe a trained model, and compare the futures it imagines with what happened",
    "compare": "print evaluated runs side by side: success, probes, open-loop errors, rank, time per plan",
    "report": "write a run as one self-contained HTML file",
}

EPILOGUE = """\
worldjepa COMMAND --help   the options of a command
--debug                    with any command: show where an error came from (with train also: only a few steps)

From demonstrations to an evaluated policy:
  worldjepa collect worldjepa/Push-v0 push.hdf5 --episodes 200
  worldjepa train act_jepa push.hdf5 --out runs/push
  worldjepa evaluate runs/push
  worldjepa imagine runs/push
  worldjepa report runs/push

From recorded play to a world model that is planned with:
  worldjepa train ac_jepa play.hdf5 --out runs/rooms
  worldjepa evaluate runs/rooms --suite world-model
  worldjepa imagine runs/rooms --pictures
  worldjepa compare runs/rooms runs/other

From views of objects to what features say of object and view:
  worldjepa collect worldjepa/TurntableNear-v0 views.hdf5 --episodes 5000 --horizon 19
  worldjepa train seq_jepa views.hdf5 --out runs/views
  worldjepa evaluate runs/views --suite equivariance"""

USER_ERROR = 2
INTERRUPTED = 130


def usage() -> str:
    """The text of ``worldjepa --help``."""
    rows = [f"  {name:<9} {what}" for name, what in COMMANDS.items()]
    return "\n".join(["usage: worldjepa COMMAND [options]", "", "commands:", *rows, "", EPILOGUE])


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments after the program's name; None: those of this process.

    Returns:
        Exit status: 0 done, 1 the command found something wrong, 2 the input was at fault, 130 interrupted.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if args[0] in ("-V", "--version"):
        import importlib.metadata

        print(importlib.metadata.version("worldjepa"))
        return 0
    name, *rest = args
    if name == "--debug" and rest:
        name, rest = rest[0], ["--debug", *rest[1:]]
    if name not in COMMANDS:
        return complain(f"there is no command {name!r}; choose one of {', '.join(COMMANDS)} (worldjepa --help)")
    try:
        return run(name, rest)
    except SystemExit as end:  # the parser has printed help or what is wrong with an option
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        print("\nworldjepa: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        if debug:
            raise
        return complain(f"{error or type(error).__name__}\n(worldjepa {name} ... --debug shows where this came from)")


def run(name: str, args: list[str]) -> int:
    """Parse the arguments of one command and run it.

    Args:
        name: a key of `COMMANDS`.
        args: what followed it on the command line.

    Returns:
        The command's exit status.

    Raises:
        ValueError: the arguments or what they name cannot be used.
    """
    import tyro

    command = importlib.import_module(f"worldjepa.commands.{name}")
    if hasattr(command, "parse"):
        options = command.parse(args)
    else:
        args = [x for x in args if x != "--debug"]
        options = tyro.cli(
            command.Options, args=args, prog=f"worldjepa {name}", description=COMMANDS[name].capitalize()
        )
    return command.run(options)


def complain(message: str) -> int:
    """Print an error for a person and return the exit status that goes with it."""
    print(f"worldjepa: error: {message}", file=sys.stderr)
    return USER_ERROR
