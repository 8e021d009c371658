"""``pingti search``: a cheaper or a better shape for a task's student."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.console import Screen
from api.cli.interruption import interruptible
from api.cli.tasks import WORKSPACE, Home, Json, TaskName
from pingti.errors import InputError

if TYPE_CHECKING:
    from pingti.workspace.registry import TaskEntry
    from replacement.search.pareto import Point, Wish
    from replacement.search.run import Searched


def search(
    task: TaskName,
    cheap: Annotated[
        bool,
        typer.Option("--cheap", help="Choose the best at half the cost, if it loses nothing beyond noise."),
    ] = False,
    good: Annotated[
        bool, typer.Option("--good", help="Choose the best at up to four times the cost.")
    ] = False,
    at_most_cost: Annotated[
        float | None,
        typer.Option(help="Choose the best at up to so many times the cost: 0.5 is half.", min=0.01, max=4.0),
    ] = None,
    half_cost_worth: Annotated[
        float | None,
        typer.Option(help="Choose by weights: points of F1 that half the cost is worth.", min=0.0),
    ] = None,
    half_size_worth: Annotated[
        float | None,
        typer.Option(help="Choose by weights: points of F1 that half the memory is worth.", min=0.0),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write the choice into the task's definition.")
    ] = False,
    trainings: Annotated[
        float, typer.Option(help="Compute: at most so many full trainings.", min=2.0, max=9.9)
    ] = 9.0,
    seed: Annotated[int, typer.Option(help="Every random choice comes from it.", min=0)] = 0,
    home: Home = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Search for a shape of a task's student that is cheaper or better than its definition's.

    It learns from the rows of the promoted version, or else of the newest, and asks the teacher nothing.
    The holdout is left alone: pingti replace measures the choice. A second call goes on where one was
    interrupted.
    """
    from pingti.workspace.registry import Workspace
    from replacement.search.run import search as run

    screen = Screen(as_json=as_json)
    wish = _wish(cheap, good, at_most_cost, half_cost_worth, half_size_worth)
    if write and wish is None:
        raise InputError(
            "--write: which shape? needed is --cheap, --good, --at-most-cost or weights (--half-cost-worth)"
        )
    entry = Workspace(home).task(task)
    goes_on = f"pingti search {task} goes on from what was trained"
    with interruptible(goes_on), entry.making(), screen.progress():
        searched = run(entry, seed=seed, compute=trainings, progress=screen.advance)
    _show(searched, screen)
    choices = _choices(searched, wish)
    for name, point in choices.items():
        _say(name, point, searched, screen)
    chosen = next(iter(choices.values())) if wish is not None else None
    if chosen is not None and chosen is not searched.default:
        if write:
            _write(entry, chosen)
            screen.say(f"written into {entry.path}; pingti replace {task} makes the student")
        else:
            screen.say(f"for {entry.path} (--write puts it there):\n[student]\n{_toml(entry, chosen)}")
    screen.result(
        {
            **asdict(searched),
            "choices": {name: asdict(point) for name, point in choices.items()},
            "written": bool(write and chosen is not None and chosen is not searched.default),
        }
    )


def _wish(
    cheap: bool, good: bool, at_most: float | None, cost: float | None, size: float | None
) -> "Wish | None":
    """What is wanted; None where nothing is said."""
    from replacement.search.pareto import Wish

    weighed = cost is not None or size is not None
    if cheap + good + (at_most is not None) + weighed > 1:
        raise InputError("--cheap, --good, --at-most-cost and weights each choose a shape; give one of them")
    if weighed:
        return Wish(kind="weighed", value=cost or 0.0, size=size or 0.0)
    if at_most is not None:
        return Wish(kind="at most", value=at_most)
    return Wish(kind="cheap" if cheap else "good") if cheap or good else None


def _choices(searched: "Searched", wish: "Wish | None") -> "dict[str, Point]":
    """By name the shape that is chosen; where nothing is wanted, both that most are after."""
    from replacement.search.pareto import Wish, choose

    wishes = [wish] if wish is not None else [Wish(kind="cheap"), Wish(kind="good")]
    return {own.kind: choose(searched.points, own) for own in wishes}


def _show(searched: "Searched", screen: Screen) -> None:
    """The table and the picture."""
    from replacement.search import drawing

    screen.say(
        f"{searched.task}: learned from {searched.rows:,} rows of version {searched.version}, measured on "
        f"its {searched.validation_rows:,} validation rows; the teacher was asked nothing"
    )
    trained = ", ".join(map(str, searched.trained))
    screen.say(
        f"{trained} shapes trained on the rungs, for the compute of {searched.compute:.1f} full trainings "
        f"(by processor time {searched.by_the_clock:.1f})"
    )
    screen.table(
        ["", "F1", "+-", "cost", "operations", "MB", "texts/s", "shape"],
        [
            [
                "definition" if number == 0 else "front" if point.on_front else "",
                f"{point.f1:.3f}",
                "" if number == 0 else f"{point.error:.3f}",
                f"{point.cost:.2f}",
                f"{point.operations:,.0f}",
                f"{point.bytes / 1e6:.1f}",
                f"{point.texts_per_second:,.0f}",
                _in_words(point),
            ]
            for number, point in enumerate(searched.points)
        ],
    )
    for line in drawing.terminal(searched.points):
        screen.say(line)
    screen.say(f"picture: {searched.picture}")


def _say(name: str, point: "Point", searched: "Searched", screen: Screen) -> None:
    difference = point.f1 - searched.default.f1
    if point is searched.default:
        screen.say(f"{name}: the definition's own shape")
        return
    screen.say(
        f"{name}: {_in_words(point)}: F1 {point.f1:.3f} ({difference:+.3f}, standard error "
        f"{point.error:.3f}) at {point.cost:.2f} of the operations"
    )


def _in_words(point: "Point") -> str:
    shape = point.shape
    widths = ",".join(map(str, shape.widths))
    return (
        f"{shape.filters} filters of {widths}, embedding {shape.embedding}, vocabulary "
        f"{shape.vocabulary}, wide {shape.wide}, subclasses {shape.subclasses}"
    )


def _changes(entry: "TaskEntry", point: "Point") -> dict[str, Any]:
    """The keys of the section that the choice sets otherwise."""
    section = entry.definition.student
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(point.shape).items()
        if getattr(section, name) != value
    }


def _toml(entry: "TaskEntry", point: "Point") -> str:
    import tomlkit

    return tomlkit.dumps(_changes(entry, point)).rstrip()


def _write(entry: "TaskEntry", point: "Point") -> None:
    """Set the keys in the definition; all else in it, comments too, stays."""
    import tomlkit

    document = tomlkit.parse(entry.path.read_text(encoding="utf-8"))
    if "student" not in document:
        document["student"] = tomlkit.table()
    section: Any = document["student"]
    for name, value in _changes(entry, point).items():
        section[name] = value
    entry.workspace.add_task(entry.name, document.as_string())
