"""How many cycles a program compiled for a TPU takes, by the compiler's own estimates.

The compiler writes an estimate next to most instructions. Some that move a lot of memory have none,
such as the gradient of a max-pooling; they are counted as the time the memory needs to move their
operands and results, a lower bound.
"""

import math
import re
from collections.abc import Iterator, Mapping

BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2, "f32": 4}
BYTES |= {"s32": 4, "u32": 4, "f64": 8, "s64": 8, "u64": 8, "c64": 8}

# Names and views of memory; and what runs alongside the program (-start, -done, between chips).
FREE = re.compile(
    r"parameter|constant|tuple|get-tuple-element|bitcast|while|conditional|call|after-all|"
    r"partition-id|replica-id|iota|.*-start|.*-done|all-.*|reduce-scatter|collective-.*"
)
FREE_CALLS = ("ConcatBitcast", "AllocateBuffer", "AssumeGatherIndicesInBound")

INSTRUCTION = re.compile(r"\s+(?:ROOT )?(%?[\w.-]+) = (\(.*?\)|\S+) ([\w-]+)\(([^)]*)")


def instruction_cycles(program: str, bytes_per_cycle: float) -> Iterator[tuple[str, float]]:
    """The cycles of every instruction, with its text; in loops, multiplied by the iterations.

    Args:
      program: the text of a compiled program.
      bytes_per_cycle: what the memory delivers.

    Raises:
      ValueError: the number of iterations of a loop is unknown.
    """
    entry = ""
    parts: dict[str, list[str]] = {}
    for line in program.splitlines():
        if opened := re.match(r"(ENTRY )?(%?[\w.-]+) \(.*\{$", line):
            parts[name := opened[2]] = []
            entry = name if opened[1] else entry
        elif line.startswith("  "):
            parts[name].append(line)

    def turns(condition: str) -> int:
        bound = re.search(r" constant\((\d+)\)", "\n".join(parts[condition]))
        if bound is None or "direction=LT" not in parts[condition][-1]:
            raise ValueError(f"the compiled step has a loop of unknown length: {condition}")
        return int(bound[1])

    def instructions(part: str, times: int) -> Iterator[tuple[str, float]]:
        made = [found for line in parts[part] if (found := INSTRUCTION.match(line))]
        sizes = {found[1]: size(found[2]) for found in made}
        for line in parts[part]:
            if own := re.search(r'"estimated_cycles":"?(\d+)', line):
                yield line, times * int(own[1])
            elif moved := moved_bytes(line, sizes):
                yield line, times * moved / bytes_per_cycle
            if loop := re.search(r" while\(.*condition=(%?[\w.-]+), body=(%?[\w.-]+)", line):
                yield from instructions(loop[2], times * turns(loop[1]))

    yield from instructions(entry, 1)


def moved_bytes(line: str, sizes: Mapping[str, int]) -> int:
    """The bytes that an instruction reads and writes; 0 if it takes no time of its own."""
    found = INSTRUCTION.match(line)
    if found is None or FREE.fullmatch(found[3]) or any(call in line for call in FREE_CALLS):
        return 0
    operands = re.findall(r"%?[\w.-]+", found[4])
    return size(found[2]) + sum(sizes.get(name, 0) for name in operands)


def size(shape: str) -> int:
    """The bytes of a shape such as "bf16[256,64]{1,0}", or of a tuple of them."""
    arrays = re.findall(r"\b(\w+)\[([\d,]*)\]", shape)
    return sum(
        BYTES.get(kind, 0) * math.prod(int(length) for length in lengths.split(",") if length)
        for kind, lengths in arrays
    )
