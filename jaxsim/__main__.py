"""All commands in one: `jaxsim embed --store=libraries/mine ~/Music`.

`jaxsim COMMAND` does what `python -m jaxsim.COMMAND` does; `jaxsim prepare` is
`python -m input_pipeline.prepare`. Every command explains its options with --help.
"""

import runpy
import sys

from input_pipeline import command_line

COMMANDS = {  # the module of each, and what it does
    "embed": ("jaxsim.embed", "listens to a library, or to what has changed in it"),
    "search": ("jaxsim.search", "finds tracks that are alike in the dimensions you choose"),
    "serve": ("jaxsim.serve", "the same on a web page and as a service"),
    "judge": ("jaxsim.judge", "fits the weights of the dimensions to your own ears"),
    "prepare": ("input_pipeline.prepare", "turns music with labels into a data set"),
    "train": ("jaxsim.train", "trains a model on it"),
    "evaluate": ("jaxsim.evaluate", "measures models and baselines"),
    "report": ("jaxsim.report", "merges evaluations into one report"),
    "sweep": ("jaxsim.sweep", "trains several configurations and compares them"),
    "export": ("jaxsim.export", "writes a trained network as one file"),
}


def main() -> None:
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        sys.exit(0 if arguments else 2)
    command, *rest = arguments
    if command not in COMMANDS:
        known = ", ".join(COMMANDS)
        print(f"jaxsim: unknown command {command!r}, expected one of {known}", file=sys.stderr)
        sys.exit(2)
    command_line.run_as_program()
    module = COMMANDS[command][0]
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _help() -> str:
    lines = [f"  {name:10}{what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join([f"usage: jaxsim COMMAND ...\n\n{__doc__}", *lines])


if __name__ == "__main__":
    main()
