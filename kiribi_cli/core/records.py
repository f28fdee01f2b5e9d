"""Dataclasses that cost little to define: the part of the standard module that kiribi uses, under the same names.

The standard decorator compiles six functions for every class, 0.3 to 1.5 ms each time a command starts, and loads
`inspect`; that was the half of `kiribi ls`. Here nothing is compiled but `__init__`, and that when the first instance
is made. Type checkers see the standard module. Refused: inheritance of fields, and classes without slots.
"""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or sys.version_info >= (3, 14):
    # From 3.14 on annotations are not evaluated with the class, and only the standard module knows how to ask.
    from dataclasses import asdict, dataclass, field, is_dataclass, replace
else:
    from operator import attrgetter

    _MISSING: Any = object()

    class field:  # noqa: N801  (as the standard module calls it)
        """What is known of a field beside its name."""

        __slots__ = ("compare", "default", "default_factory", "repr")

        def __init__(self, *, default=_MISSING, default_factory=_MISSING, compare=True, repr=True):  # noqa: A002
            self.default = default
            self.default_factory = default_factory
            self.compare = compare
            self.repr = repr

    def dataclass(*, slots, frozen=False, kw_only=False):
        """Make a class of fields, with slots; a frozen one can be hashed and not be changed."""

        def made(cls):
            return _made(cls, frozen=frozen, kw_only=kw_only)

        if not slots:
            raise TypeError("only with slots")
        return made

    def replace(record, /, **changes):
        """Copy a record with some fields changed."""
        for name in record.__fields__:
            if name not in changes:
                changes[name] = getattr(record, name)
        return type(record)(**changes)

    def asdict(record):
        """Spread a record, and the records, lists, tuples and dictionaries in it."""
        return {name: _spread(getattr(record, name)) for name in record.__fields__}

    def is_dataclass(value):
        """Whether it is a record, or a class of records."""
        return hasattr(value, "__fields__")

    def _made(cls, *, frozen, kw_only):
        names = tuple(cls.__annotations__)
        if any(is_dataclass(base) for base in cls.__bases__):
            raise TypeError(f"{cls.__qualname__}: records do not inherit fields")
        body = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__")}
        given = {name: body.pop(name, _MISSING) for name in names}
        fields = {name: value if isinstance(value, field) else field(default=value) for name, value in given.items()}
        compared = [name for name in names if fields[name].compare]
        body = (_FROZEN if frozen else _CHANGING) | body
        body |= {
            "__slots__": names,
            "__fields__": fields,
            "__match_args__": () if kw_only else names,
            "__keywords__": kw_only,
            "__compared__": attrgetter(*compared or ["__class__"]),
        }
        made = type(cls)(cls.__name__, cls.__bases__, body)
        made.__qualname__ = cls.__qualname__
        return made

    def _first(self, /, *args, **values):
        """Stand in for `__init__` until there is a first instance."""
        cls = type(self)
        cls.__init__ = _compiled(cls)
        cls.__init__(self, *args, **values)

    def _compiled(cls):
        known = {"_MISSING": _MISSING}
        words, lines = ["*"] if cls.__keywords__ else [], []
        frozen = cls.__setattr__ is not object.__setattr__
        for name, one in cls.__fields__.items():
            value = name
            word = name
            if one.default_factory is not _MISSING:
                known[f"_make_{name}"] = one.default_factory
                word, value = f"{name}=_MISSING", f"_make_{name}() if {name} is _MISSING else {name}"
            elif one.default is not _MISSING:
                known[f"_default_{name}"] = one.default
                word = f"{name}=_default_{name}"
            words.append(word)
            # Past the __setattr__ that forbids it, and quicker.
            known[f"_set_{name}"] = getattr(cls, name).__set__
            lines.append(f" _set_{name}(self, {value})" if frozen else f" self.{name} = {value}")
        lines.append(" self.__post_init__()" if hasattr(cls, "__post_init__") else " return None")
        exec(f"def __init__(self, {', '.join(words)}):\n" + "\n".join(lines), known)  # noqa: S102  (our own names)
        return known["__init__"]

    def _repr(self):
        shown = [f"{name}={getattr(self, name)!r}" for name, one in self.__fields__.items() if one.repr]
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def _eq(self, other):
        if type(other) is not type(self):
            return NotImplemented
        return self is other or self.__compared__(self) == self.__compared__(other)

    def _hash(self):
        return hash(self.__compared__(self))

    def _refuse(self, name, *_):
        raise AttributeError(f"{type(self).__qualname__} is frozen: {name} cannot be changed")

    def _spread(value):
        if is_dataclass(value):
            return asdict(value)
        if isinstance(value, dict):
            return {_spread(key): _spread(each) for key, each in value.items()}
        return type(value)(map(_spread, value)) if isinstance(value, (list, tuple)) else value

    _CHANGING = {"__init__": _first, "__repr__": _repr, "__eq__": _eq, "__hash__": None}
    _FROZEN = {**_CHANGING, "__hash__": _hash, "__setattr__": _refuse, "__delattr__": _refuse}

__all__ = ["asdict", "dataclass", "field", "is_dataclass", "replace"]
