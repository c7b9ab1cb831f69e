"""How a claim is declared: one function under the decorator `claim`, and nothing else to maintain.

Owns what a claim says of itself and what it is measured on. Loads no heavy library: the
workflow reads the declarations before any job starts. Knows no paper and no artifact.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lossmap.artifacts.claims import Claim, Number
from lossmap.claims.cases import Case, open_case
from lossmap.claims.ledger import judge


@dataclass(frozen=True)
class Names:
    """What the names under one key of a claim may be.

    Attributes
    ----------
    registry : part of the configuration that the names belong to
    kinds : kinds that the entries may have, empty for any: what a cloud is made of (a key of
        ``clouds.<name>``: ``minimum``, ``runs``, ``tree``, ``model``), the method of a basis
    count : exactly how many names, None for one or more
    pairs : another key, of which there must be as many names
    models : other keys: their clouds are what these clouds imitate, each at least once
    """

    registry: str
    kinds: tuple[str, ...] = ()
    count: int | None = None
    pairs: str | None = None
    models: tuple[str, ...] = ()


def Bases(*methods: str, **limits: object) -> Names:  # noqa: N802
    """Return names of planes; the function gets a `BasisCase` for each."""
    return Names("bases", methods, **limits)


def Clouds(*kinds: str, **limits: object) -> Names:  # noqa: N802
    """Return names of clouds; the function gets a `CloudCase` for each."""
    return Names("clouds", kinds, **limits)


def Curvatures(**limits: object) -> Names:  # noqa: N802
    """Return names of curvatures; the function gets a `CurvatureCase` for each."""
    return Names("curvatures", **limits)


def Grids(**limits: object) -> Names:  # noqa: N802
    """Return names of landscapes; the function gets a `GridCase` for each."""
    return Names("grids", **limits)


def Projections(**limits: object) -> Names:  # noqa: N802
    """Return names of projections; the function gets a `ProjectionCase` for each."""
    return Names("projections", **limits)


def Rings(**limits: object) -> Names:  # noqa: N802
    """Return names of rings; the function gets a `RingCase` for each."""
    return Names("rings", **limits)


def Runs(**limits: object) -> Names:  # noqa: N802
    """Return names of runs; the function gets a `RunCase` for each."""
    return Names("runs", **limits)


def Tables(**limits: object) -> Names:  # noqa: N802
    """Return names of tables; the function gets a `TableCase` for each."""
    return Names("tables", **limits)


@dataclass(frozen=True)
class Measured:
    """What a claim's function found.

    Attributes
    ----------
    value : the number that decides
    low, high : range over seeds or cases, NaN where there is one case
    numbers : every number behind `value`
    holds : whether the rule is met
    paper : what the paper prints, where that depends on the data
    verdict : another than follows from `holds`: `NOT_TESTABLE` where the data do not allow one,
        `NO_INFORMATION` where the picture would look the same without a landscape
    other : the same under another reading of the paper, where the verdict may depend on it
    """

    value: float
    low: float
    high: float
    numbers: Sequence[Number]
    holds: bool
    paper: str | None = None
    verdict: str | None = None
    other: "Reading | None" = None


@dataclass(frozen=True)
class Reading:
    """What a claim's function found under another reading of the paper.

    Attributes
    ----------
    says : what is read otherwise
    value, holds, verdict : as in `Measured`
    """

    says: str
    value: float
    holds: bool
    verdict: str | None = None


Measure = Callable[..., Measured]


@dataclass(frozen=True)
class Statement:
    """One sentence of a paper, with the function that measures it.

    Attributes
    ----------
    id : of the claim, in the configuration and the ledger
    says : the claim in our words
    paper : what the paper prints, empty where it prints no number
    statistic : what is measured
    rule : condition under which it counts as reproduced
    on : what the names under each key of its entry may be
    function : is given, for each key of `on`, the list of its cases
    """

    id: str
    says: str
    paper: str
    statistic: str
    rule: str
    on: Mapping[str, Names]
    function: Measure

    def __call__(self, **cases: Sequence[Case]) -> Measured:
        """Measure the claim on cases."""
        return self.function(**cases)

    def measure(
        self, entry: Mapping[str, Sequence], sources: Mapping[str, object], testable: bool
    ) -> Claim:
        """Return the claim's row of the ledger.

        Parameters
        ----------
        entry : by key of `on`, what the specification tells of each case
        sources : path of each artifact by ``stage/name``
        testable : whether this scale allows verdicts
        """
        found = self.function(
            **{
                key: [open_case(names.registry, told, sources) for told in entry[key]]
                for key, names in self.on.items()
            }
        )
        return Claim(
            self.id,
            self.says,
            self.paper if found.paper is None else found.paper,
            self.statistic,
            found.value,
            found.low,
            found.high,
            self.rule,
            judge(found.holds, testable, found.verdict),
            *_tell_other(found.other, testable),
            numbers=tuple(found.numbers),
        )


def _tell_other(other: Reading | None, testable: bool) -> tuple[str, float, str]:
    if other is None:
        return "", float("nan"), ""
    return other.says, other.value, judge(other.holds, testable, other.verdict)


STATEMENTS: dict[str, Statement] = {}
"""Every claim that was declared, by its id, in the order of declaration."""


def claim(
    id: str, *, says: str, statistic: str, rule: str, on: Mapping[str, Names], paper: str = ""
) -> Callable[[Measure], Statement]:
    """Declare the function below to be the measurement of a claim.

    Parameters
    ----------
    id, says, paper, statistic, rule, on : as in `Statement`

    Raises
    ------
    TypeError
        A part of the declaration is left out, is no text or no `Names`, or the function's
        parameters are not the keys of `on`.
    ValueError
        A text is empty, another claim has the id, or `on` refers to a key that it lacks.
    """
    texts = {"id": id, "says": says, "statistic": statistic, "rule": rule}

    def declare(function: Measure) -> Statement:
        where = f"claim {id!r} ({function.__module__}.{function.__qualname__})"
        _check_texts(texts, where)
        _check_on(on, where)
        _check_parameters(function, on, where)
        known = STATEMENTS.get(id)
        if known and _place_of(known.function) != _place_of(function):
            raise ValueError(
                f"{where}: another claim bears this id, {'.'.join(_place_of(known.function))}; "
                "choose another"
            )
        STATEMENTS[id] = Statement(id, says, paper, statistic, rule, dict(on), function)
        return STATEMENTS[id]

    return declare


def _place_of(function: Measure) -> tuple[str, str]:
    return function.__module__, function.__qualname__


def _check_texts(texts: Mapping[str, str], where: str) -> None:
    for part, text in texts.items():
        if not isinstance(text, str):
            raise TypeError(f"{where}: {part} is {text!r}, expected text")
        if not text.strip():
            raise ValueError(f"{where}: {part} is empty; say it")


def _check_on(on: Mapping[str, Names], where: str) -> None:
    if not on:
        raise ValueError(f"{where}: on is empty; name what the claim is measured on")
    for key, names in on.items():
        if not isinstance(names, Names):
            raise TypeError(
                f"{where}: on[{key!r}] is {names!r}, expected Bases(), Clouds(), Curvatures(), "
                "Grids(), Projections(), Rings(), Runs() or Tables()"
            )
        for other in (names.pairs, *names.models):
            if other is not None and other not in on:
                raise ValueError(
                    f"{where}: on[{key!r}] refers to {other!r}, which on lacks; it has "
                    f"{', '.join(on)}"
                )


def _check_parameters(function: Measure, on: Mapping[str, Names], where: str) -> None:
    parameters = list(inspect.signature(function).parameters)
    if sorted(parameters) != sorted(on):
        raise TypeError(
            f"{where}: the function's parameters are {', '.join(parameters) or 'none'}, expected "
            f"the keys of on, {', '.join(on)}"
        )
