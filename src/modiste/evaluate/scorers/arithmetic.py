"""Formulas over named numbers, such as `0.7 * match + 0.3 * min(style, 1)`, without `eval`.

Numbers, names, + - * / // % **, parentheses and the functions of `FUNCTIONS` are all there is; a
power is limited, so that no formula takes long.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping

FUNCTIONS: dict[str, Callable[..., float]] = {
    "min": min, "max": max, "abs": abs, "floor": math.floor, "ceil": math.ceil,
    "exp": math.exp, "sqrt": math.sqrt, "log": math.log,
}  # fmt: skip
_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
MOST_CHARACTERS = 2_000
MOST_POWER = 100.0


class Formula:
    """
    Raises:
        ValueError: what in the text is no arithmetic.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MOST_CHARACTERS:
            raise ValueError(f"the formula has {len(text)} characters, at most {MOST_CHARACTERS}")
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, RecursionError) as error:
            raise ValueError(f"{text!r} is no formula: {error}") from None
        self.names = frozenset(_names(self._tree))

    def value(self, numbers: Mapping[str, float]) -> float:
        """
        Raises:
            ValueError: a name without a number, a division by zero, a result that is not finite.
        """
        try:
            found = _value(self._tree, numbers)
        except (ArithmeticError, TypeError) as error:
            raise ValueError(f"the formula fails: {error}") from None
        if not math.isfinite(found):
            raise ValueError(f"the formula gives {found}")
        return found


def _names(node: ast.AST) -> list[str]:
    """Every name in it, having refused what is no arithmetic."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return []
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.BinOp) and (type(node.op) in _BINARY or isinstance(node.op, ast.Pow)):
        return _names(node.left) + _names(node.right)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        return _names(node.operand)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        if node.func.id in FUNCTIONS:
            return [name for argument in node.args for name in _names(argument)]
        raise ValueError(f"{node.func.id} is no function here; there are {', '.join(FUNCTIONS)}")
    raise ValueError(f"{ast.unparse(node)!r} is no arithmetic")


def _value(node: ast.AST, numbers: Mapping[str, float]) -> float:
    if isinstance(node, ast.Constant):
        return float(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.Name):
        if node.id not in numbers:
            raise ValueError(f"{node.id} has no number; there are {', '.join(sorted(numbers))}")
        return float(numbers[node.id])
    if isinstance(node, ast.UnaryOp):
        inner = _value(node.operand, numbers)
        return -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        arguments = [_value(argument, numbers) for argument in node.args]
        return float(FUNCTIONS[node.func.id](*arguments))
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, numbers), _value(node.right, numbers)
        if isinstance(node.op, ast.Pow):
            return _power(left, right)
        return _BINARY[type(node.op)](left, right)
    raise ValueError(f"{type(node).__name__} is no arithmetic")


def _power(base: float, exponent: float) -> float:
    if abs(exponent) > MOST_POWER or (base < 0 and exponent != int(exponent)):
        raise ValueError(f"{base:g} ** {exponent:g} is not computed here")
    return float(base**exponent)
