"""The one mechanism of the dialects: classes and functions of this package in another spelling.

The layers, criterions and optimisers are written once, in the spelling of `snake`. A `Spelling` makes a dialect's class
out of one of them: every name of its table, wherever the code, the signatures or the docstrings use it, becomes the
dialect's name. It happens once, when the dialect is imported, on the compiled code objects: a call costs what it costs
in a class written in that spelling; keyword arguments, overridden hooks and `help()` have the dialect's names.
"""

from __future__ import annotations

import re
from types import CellType, CodeType, FunctionType
from typing import Any, cast

CAMEL_CASE = {  # Torch7's names
    "update_output": "updateOutput",
    "update_grad_input": "updateGradInput",
    "update_grad_params": "accGradParameters",
    "zero_grad_params": "zeroGradParameters",
    "get_parameters": "getParameters",
    "get_grad_params": "getGradParameters",
    "grad_input": "gradInput",
    "grad_output": "gradOutput",
}

_OWN = {"__dict__", "__weakref__", "__module__", "__qualname__", "__doc__", "__annotations__"}  # made anew by type()


class Spelling:
    """A dialect's table of names, and the classes and functions made with it.

    Parameters
    ----------
    module : str
        The dialect's module (its `__name__`), to which the classes will belong.
    **names : str
        Name in `snake` = name in the dialect.
    """

    def __init__(self, module: str, **names: str) -> None:
        self._module = module
        self._names = names
        self._made: dict[type, type] = {}

    def also(self, **names: str) -> Spelling:
        """This spelling with more names, for a class that has some of its own."""
        other = Spelling(self._module, **self._names, **names)
        other._made = self._made
        return other

    def __call__(self, thing: Any, name: str | None = None, **attributes: Any) -> Any:
        """A class or function in this spelling, under another name if one is given, with these class attributes."""
        name = name or self._name(thing.__name__)
        if isinstance(thing, FunctionType):
            made: Any = self._function(thing, "", CellType())
            made.__name__ = name
        else:
            made = self._class(thing, name, attributes)
        made.__module__, made.__qualname__ = self._module, name
        if "__doc__" not in attributes:
            made.__doc__ = self._text(thing.__doc__, {thing.__name__: name, "snake": self._module.rpartition(".")[2]})
        return made

    def _class(self, cls: type, name: str, attributes: dict[str, Any]) -> type:
        itself = CellType()  # what zero-argument super() refers to
        own = {key: value for key, value in vars(cls).items() if key not in _OWN}
        members = {self._name(key): self._member(value, name, itself) for key, value in own.items()}
        bases = tuple(self._base(base) for base in cls.__bases__)
        made = type(cls)(name, bases, {**members, **attributes, "_spelling": self._names})
        itself.cell_contents = made
        self._made[cls] = made
        return made

    def _base(self, base: type) -> type:
        """A base class in this spelling; those from outside of this package stay as they are."""
        if not base.__module__.startswith(f"{__package__}."):
            return base
        return self._made.get(base) or self(base)

    def _member(self, value: Any, owner: str, itself: CellType) -> Any:
        if isinstance(value, FunctionType):
            return self._function(value, owner, itself)
        if isinstance(value, property):
            parts = (cast(FunctionType | None, part) for part in (value.fget, value.fset))
            getter, setter = (part and self._function(part, owner, itself) for part in parts)
            return property(getter, setter)
        if isinstance(value, tuple):
            return tuple(self._name(item) if isinstance(item, str) else item for item in value)
        return value

    def _function(self, function: FunctionType, owner: str, itself: CellType) -> FunctionType:
        closure = tuple(
            itself if name == "__class__" else cell
            for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        )
        made = FunctionType(
            self._code(function.__code__),
            function.__globals__,
            self._name(function.__name__),
            function.__defaults__,
            closure,
        )
        made.__kwdefaults__ = function.__kwdefaults__
        made.__annotations__ = {self._name(key): value for key, value in function.__annotations__.items()}
        made.__doc__ = self._text(function.__doc__, {})
        made.__module__, made.__qualname__ = self._module, f"{owner}.{made.__name__}"
        return made

    def _code(self, code: CodeType) -> CodeType:
        """The code with other names of attributes and variables, and of what is such a name in quotes."""
        tables: dict[str, Any] = {table: tuple(map(self._name, getattr(code, table))) for table in _TABLES}
        return code.replace(
            co_name=self._name(code.co_name), co_consts=tuple(map(self._const, code.co_consts)), **tables
        )

    def _const(self, const: Any) -> Any:
        if isinstance(const, CodeType):  # an inner function
            return self._code(const)
        return self._name(const) if isinstance(const, str) else const

    def _name(self, name: str) -> str:
        return self._names.get(name, name)

    def _text(self, text: str | None, others: dict[str, str]) -> str | None:
        return text and reword(text, {**self._names, **others})


_TABLES = ("co_names", "co_varnames", "co_cellvars", "co_freevars")


def reword(text: str, words: dict[str, str]) -> str:
    """The text with whole words replaced."""
    return re.sub(r"\w+", lambda match: words.get(match[0], match[0]), text)
