"""Commands that look after results: ``python -m lossmap.upkeep audit | adopt | archive | dag``."""

import argparse
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

from lossmap.code.reach import search_folders
from lossmap.errors import LossmapError
from lossmap.figures.movies import choose_movie
from lossmap.upkeep.adopt import (
    adopt_artifact,
    adopt_resume_points,
    find_resume_points,
    find_targets,
    open_change,
    split_adoptable,
)
from lossmap.upkeep.archive import write_archive
from lossmap.upkeep.audit import Finding, audit
from lossmap.workflow.configuration import load_configuration, read_settings
from lossmap.workflow.expected import Expected
from lossmap.workflow.picture import draw_stages
from lossmap.workflow.stages import ROOT, declare_extensions

LOCKS = Path(".snakemake/locks")


def main(words: list[str] | None = None) -> int:
    """Run one command; return 0 when all is well, 1 when something is wrong, 2 for an error."""
    asked = _read_words(words)
    try:
        given = read_settings(asked.configfile, asked.config) | (
            {"scale": asked.scale} if asked.scale else {}
        )
        config = load_configuration(ROOT / "config", given)
        declare_extensions(config)
        results = asked.results or Path("results") / config["scale"]
        expected = Expected(config, search_folders(), results, _movie(results))
        return asked.command(asked, expected, given)
    except LossmapError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _read_words(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lossmap.upkeep", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, command, text in (
        ("audit", run_audit, "say what is stale, missing, orphaned or damaged; changes nothing"),
        ("adopt", run_adopt, "keep artifacts although the code has changed, on your word"),
        ("archive", run_archive, "write results, workflow, lock and citation as one file"),
        ("dag", run_dag, "print the graph of the stages for Graphviz"),
    ):
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(command=command)
        one.add_argument("--scale", help="as in config/scales; default: that of the settings")
        one.add_argument("--results", type=Path, help="the scale's folder; default: results/SCALE")
        one.add_argument("--config", nargs="*", default=[], metavar="KEY=VALUE")
        one.add_argument("--configfile", nargs="*", default=[], type=Path, metavar="FILE")
    adopt, archive = commands.choices["adopt"], commands.choices["archive"]
    adopt.add_argument(
        "--targets", required=True, nargs="+", help="stages, artifacts as stage/name, or targets"
    )
    adopt.add_argument(
        "--from", required=True, dest="since", help="the commit, or hash of code, that made them"
    )
    adopt.add_argument(
        "--because", help="why the change since then can have changed no result; without it, a list"
    )
    archive.add_argument("--output", type=Path, help="default: lossmap-SCALE.tar")
    return parser.parse_args(words)


def _movie(results: Path) -> str:
    """Return the suffix of the animations that are there, else of those that would be made here."""
    found = {path.suffix.removeprefix(".") for path in (results / "animation").glob("*.*")}
    return next(iter(sorted(found & {"mp4", "gif"})), None) or choose_movie()


def run_audit(asked: argparse.Namespace, expected: Expected, given: dict) -> int:
    """Print what is wrong, and a last line that counts it."""
    found = audit(expected)
    _print(found)
    counts = Counter(finding.kind for finding in found)
    said = ", ".join(f"{counts[k]} {k}" for k in ("stale", "missing", "orphaned", "damaged"))
    print(f"{expected.results}: {said}")
    return 1 if found else 0


def run_adopt(asked: argparse.Namespace, expected: Expected, given: dict) -> int:
    """Show, and with a reason restamp, artifacts of which only the code has changed, by one change.

    Everything else is refused.
    """
    if LOCKS.is_dir() and any(LOCKS.iterdir()):
        raise LossmapError(
            f"{LOCKS}: a workflow is running here, or was killed; let it end, "
            "or run snakemake --unlock"
        )
    if asked.because is not None and not asked.because.strip():
        raise LossmapError("--because: say why no result can have changed; it is kept with them")
    targets = find_targets(expected.config, asked.targets)
    with open_change(expected, asked.since) as change:
        adoptable, refused = split_adoptable(audit(expected), targets, change)
        points = find_resume_points(change, targets)
    _print([replace(finding, kind="adopt") for finding in adoptable])
    _print([Finding("adopt", folder, "resume points") for folder, _ in points])
    _print([replace(finding, kind="refused") for finding in refused])
    count = f"{len(adoptable)} artifacts and {len(points)} resume points"
    if asked.because is None:
        print(f"{count} would be adopted, {len(refused)} refused; to do so, say --because and why")
        return 1 if refused else 0
    for finding in adoptable:
        adopt_artifact(finding.path, expected.code(*finding.target), asked.because)
    for pair in points:
        adopt_resume_points(expected, *pair)
    print(f"adopted {count}")
    if refused:
        print(f"refused {len(refused)}: more than this change, or they are damaged")
    return 1 if refused else 0


def run_archive(asked: argparse.Namespace, expected: Expected, given: dict) -> int:
    """Write the archive, unless anything that would go into it is wrong."""
    wrong = [finding for finding in audit(expected) if finding.kind != "orphaned"]
    if wrong:
        _print(wrong)
        raise LossmapError(
            f"{expected.results}: {len(wrong)} things are wrong; make them anew, then archive"
        )
    path = asked.output or Path(f"lossmap-{expected.config['scale']}.tar")
    count, said = write_archive(path, ROOT, expected, given)
    print(f"{path}: {count} files, {path.stat().st_size / 1e6:.0f} MB")
    print(f"unpacked into an empty folder and audited there: {said}")
    return 0


def run_dag(asked: argparse.Namespace, expected: Expected, given: dict) -> int:
    """Print the graph of the stages."""
    print(draw_stages(expected.config))
    return 0


def _print(found: list[Finding]) -> None:
    for finding in found:
        print(f"{finding.kind:<9} {finding.path}: {finding.why}")


if __name__ == "__main__":
    sys.exit(main())
