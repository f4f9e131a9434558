"""What a compiled program launches and moves, read off its optimised HLO, loops included.

XLA's own ``cost_analysis()`` counts the body of a loop once, however often it runs; rollouts and
updates are loops. Here every computation counts as often as its loops' known trip counts say.
"""

import re
from typing import Any, NamedTuple

import numpy as np

SIZES = {"pred": 1, "bf16": 2, "c64": 8, "c128": 16, "token": 0, "opaque": 0}
"""Bytes of the types whose names do not end in their number of bits."""
BOOKKEEPING = frozenset(
    {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "opt-barrier"}
    | {"domain", "add-dependency", "partition-id", "replica-id"}
    | {"copy-done", "async-done", "async-update"}
)
"""Instructions that start nothing and move nothing."""
PARTIAL_READS = ("dynamic-slice", "slice", "gather")
"""They read of their first operand only as much as they give."""

_HEAD = re.compile(r"^(ENTRY )?%?(?P<name>[\w.\-]+) \(.*\{$")
_LINE = re.compile(r"^\s+(?P<root>ROOT )?%?(?P<name>[\w.\-]+) = (?P<rest>.*)$")
_ARRAY = re.compile(r"([a-z]+\d*\w*)\[([\d,]*)\]")
_CALLED = re.compile(r"(?:calls|to_apply|body)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}|(?:true|false)_computation=%?([\w.\-]+)")
_CONDITION = re.compile(r"condition=%?([\w.\-]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


class Work(NamedTuple):
    """What one run of a program does."""

    kernels: int
    """Launched, those of loops as often as they run; copies count too."""
    bytes_moved: int
    """Read and written by the kernels, as if nothing stayed in a cache. Of an array that a kernel
    slices, gathers from or updates in place, only the part that is touched."""
    unknown_loops: int
    """Loops whose number of rounds XLA does not know; they count once."""

    def times(self, rounds: int) -> "Work":
        """The same, so often."""
        return Work(self.kernels * rounds, self.bytes_moved * rounds, self.unknown_loops)

    def plus(self, other: "Work") -> "Work":
        """Both, one after the other."""
        return Work(*(mine + its for mine, its in zip(self, other, strict=True)))


class _Instruction(NamedTuple):
    """A line of a computation."""

    name: str
    root: bool
    opcode: str
    bytes: tuple[int, ...]
    """Of the array it gives, or of all arrays of the tuple."""
    operands: tuple[str, ...]
    text: str


def work(text: str) -> Work:
    """What the program of `jax.stages.Compiled.as_text` does in one run."""
    computations: dict[str, dict[str, _Instruction]] = {}
    entry, current = None, ""
    for line in text.splitlines():
        if head := _HEAD.match(line):
            current = head["name"]
            computations[current] = {}
            entry = current if line.startswith("ENTRY") else entry
        elif current and (found := _LINE.match(line)):
            instruction = _parse(found)
            computations[current][instruction.name] = instruction
    if entry is None:
        raise ValueError("no ENTRY computation: this is no HLO text")
    return _of(entry, computations, {})


def _of(
    name: str, computations: dict[str, dict[str, _Instruction]], known: dict[str, Work]
) -> Work:
    if name not in known:
        total = Work(0, 0, 0)
        for instruction in computations[name].values():
            total = total.plus(_one(instruction, computations[name], computations, known))
        known[name] = total
    return known[name]


def _one(
    instruction: _Instruction,
    around: dict[str, _Instruction],
    computations: dict[str, dict[str, _Instruction]],
    known: dict[str, Work],
) -> Work:
    opcode, text = instruction.opcode, instruction.text
    if opcode in BOOKKEEPING:
        return Work(0, 0, 0)
    called = _CALLED.search(text)
    if opcode == "while" and called is not None:
        trips, condition = _TRIPS.search(text), _CONDITION.search(text)
        inner = _of(called[1], computations, known)
        if condition is not None:
            inner = inner.plus(_of(condition[1], computations, known))
        rounds = inner.times(int(trips[1]) if trips else 1)
        return rounds.plus(Work(0, 0, 0 if trips else 1))
    if opcode in ("call", "async-start") and called is not None:
        return _of(called[1], computations, known)
    if opcode == "conditional":
        names = [
            name
            for pair in _BRANCHES.findall(text)
            for name in re.findall(r"[\w.\-]+", " ".join(pair))
        ]
        return max((_of(name, computations, known) for name in names), default=Work(0, 0, 0))
    if opcode == "fusion" and called is not None:
        return Work(1, _fused_bytes(instruction, around, computations[called[1]]), 0)
    return Work(1, _plain_bytes(instruction, around), 0)


def _plain_bytes(instruction: _Instruction, around: dict[str, _Instruction]) -> int:
    given = sum(instruction.bytes)
    sizes = [sum(around[name].bytes) for name in instruction.operands if name in around]
    if instruction.opcode in PARTIAL_READS:
        return 2 * given + sum(sizes[1:])
    if instruction.opcode == "dynamic-update-slice":
        return 2 * sizes[1]
    return given + sum(sizes)


def _fused_bytes(
    fusion: _Instruction, around: dict[str, _Instruction], inside: dict[str, _Instruction]
) -> int:
    """Operands and results of a fusion, in part where it touches only part of them."""
    moved = 0
    for instruction in inside.values():
        if instruction.opcode != "parameter":
            continue
        users = [each for each in inside.values() if instruction.name in each.operands]
        reads = [_read(each, instruction, inside) for each in users]
        moved += min(sum(reads), sum(instruction.bytes))
    root = next(each for each in inside.values() if each.root)
    results = [inside[name] for name in root.operands] if root.opcode == "tuple" else [root]
    for result in results:
        source = _behind_bitcasts(result, inside)
        if source.opcode == "dynamic-update-slice":
            moved += sum(inside[source.operands[1]].bytes)
        else:
            moved += sum(result.bytes)
    return moved


def _read(user: _Instruction, parameter: _Instruction, inside: dict[str, _Instruction]) -> int:
    """Bytes that an instruction reads of a fusion's parameter."""
    first = user.operands[0] == parameter.name
    if first and user.opcode in PARTIAL_READS:
        return sum(user.bytes)
    if first and user.opcode == "dynamic-update-slice":
        return 0
    if user.opcode == "bitcast":
        return sum(
            _read(each, user, inside) for each in inside.values() if user.name in each.operands
        ) or sum(user.bytes)
    return sum(parameter.bytes)


def _behind_bitcasts(instruction: _Instruction, inside: dict[str, _Instruction]) -> _Instruction:
    while instruction.opcode == "bitcast" and instruction.operands[0] in inside:
        instruction = inside[instruction.operands[0]]
    return instruction


def _parse(found: re.Match[str]) -> _Instruction:
    rest = found["rest"]
    end = _closing(rest, 0) + 1 if rest.startswith("(") else rest.index(" ")
    kind, call = rest[:end], rest[end:].lstrip()
    opened = call.index("(")
    closed = _closing(call, opened)
    operands = tuple(re.findall(r"%([\w.\-]+)", call[opened : closed + 1]))
    return _Instruction(
        name=found["name"],
        root=found["root"] is not None,
        opcode=call[:opened],
        bytes=tuple(_array_bytes(*array) for array in _ARRAY.findall(kind)),
        operands=operands,
        text=call[closed + 1 :],
    )


def _closing(text: str, start: int) -> int:
    """Index of the parenthesis that closes the one at ``start``."""
    depth = 0
    for index in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if depth == 0:
            return index
    raise ValueError(f"unbalanced parentheses: {text[:80]!r}")


def _array_bytes(kind: str, dimensions: str) -> int:
    count = int(np.prod([int(size) for size in dimensions.split(",") if size], dtype=np.int64))
    if kind in SIZES:
        return count * SIZES[kind]
    bits = re.match(r"[a-z]+(\d+)", kind)
    return (count * int(bits[1]) + 7) // 8 if bits else 0


def matmul_flops(jaxpr: Any) -> int:
    """Floating point operations of the matrix products of a traced program.

    2 * b * m * n * k of every ``dot_general``, as often as the scans around it run; of a
    conditional the larger branch; loops without a known length count once. Element-wise work is
    not counted.

    Args:
      jaxpr: a ``jax.make_jaxpr(f)(...)``, or ``jax.jit(f).trace(...).jaxpr``.
    """
    total = 0
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            depth = int(np.prod([shape[axis] for axis in contracted], dtype=np.int64))
            total += 2 * int(np.prod(equation.outvars[0].aval.shape, dtype=np.int64)) * depth
        inner = [matmul_flops(each) for each in _jaxprs(equation.params.values())]
        chosen = max(inner, default=0) if equation.primitive.name == "cond" else sum(inner)
        total += chosen * equation.params.get("length", 1) if _scans(equation) else chosen
    return total


def _scans(equation: Any) -> bool:
    return equation.primitive.name == "scan"


def _jaxprs(values: Any) -> list[Any]:
    found = []
    for value in values:
        if hasattr(value, "eqns") or hasattr(value, "jaxpr"):
            found.append(value)
        elif isinstance(value, tuple | list):
            found += _jaxprs(value)
    return found
