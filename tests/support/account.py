"""Where the core-seconds of a finished run went: `make account`, after a run into empty results.

A job's benchmark file says how long it ran, and its time stamp when it ended; what a job takes to
start is measured here, by the imports of its entry script in a process of its own.
"""

import ast
import subprocess
import sys
from pathlib import Path
from statistics import median

import pandas as pd
from plain_loops import timed

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"
OTHERWISE = {"claims": "ledger"}
"""Stages whose entry script has another name."""
LATER = {"embedding": "phate"}
"""What is loaded when it is first used, in every job of a stage."""


def read_jobs(results: Path) -> pd.DataFrame:
    """Return ``stage``, ``name``, ``start`` and ``end`` (s since the epoch) of every job."""
    found = []
    for path in sorted(results.glob("benchmark/*/*.tsv")):
        seconds = float(pd.read_csv(path, sep="\t")["s"].iloc[-1])
        end = path.stat().st_mtime
        found.append((path.parent.name, path.stem, end - seconds, end))
    return pd.DataFrame(found, columns=["stage", "name", "start", "end"])


def starting_command(script: Path) -> list[str]:
    """Return a command that does what a job does before its entry script begins to work."""
    tree = ast.parse(script.read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    later = f"\nimport {LATER[script.stem]}" if script.stem in LATER else ""
    return [sys.executable, "-c", f"from snakemake import script\n{ast.unparse(tree)}{later}"]


def measure_start(script: Path, rounds: int = 3) -> float:
    """Return the seconds that Python and the imports of an entry script take."""
    command = starting_command(script)
    return median(timed(lambda: subprocess.run(command, check=True)) for _ in range(rounds))


def share_busy(jobs: pd.DataFrame) -> pd.Series:
    """Return the share of the run's time in which so many jobs ran (index: number of jobs)."""
    changes = pd.concat([pd.Series(1, jobs["start"]), pd.Series(-1, jobs["end"])]).sort_index()
    running = changes.cumsum().iloc[:-1]
    lengths = pd.Series(changes.index).diff().iloc[1:].to_numpy()
    return pd.Series(lengths).groupby(running.to_numpy()).sum() / lengths.sum()


def describe(results: Path, cores: int) -> str:
    """Return the account as a table."""
    jobs = read_jobs(results)
    jobs["seconds"] = jobs["end"] - jobs["start"]
    scripts = {stage: SCRIPTS / f"{OTHERWISE.get(stage, stage)}.py" for stage in set(jobs["stage"])}
    starts = {stage: measure_start(script) for stage, script in scripts.items()}
    table = jobs.groupby("stage")["seconds"].agg(["count", "sum"])
    table["start"] = table["count"] * pd.Series(starts)
    table["computing"] = (table["sum"] - table["start"]).clip(lower=0)
    total = cores * (jobs["end"].max() - jobs["start"].min())
    computing, starting = table["computing"].sum(), table["start"].sum()
    rest = total - computing - starting
    busy = ", ".join(f"{n:.0f} jobs {100 * share:.0f} %" for n, share in share_busy(jobs).items())
    return "\n".join(
        [
            table.round(1).to_string(),
            f"{total:.0f} core-seconds: computing {100 * computing / total:.0f} %, starting jobs "
            f"{100 * starting / total:.0f} %, cores without a job {100 * rest / total:.0f} %",
            f"at the same time: {busy}",
        ]
    )


if __name__ == "__main__":
    print(describe(Path(sys.argv[1]), int(sys.argv[2])))
