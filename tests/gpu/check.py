"""`make gpu-check`: what holds on this GPU and how fast it is, within a budget of seconds.

Needs PyTorch, NumPy, h5py and filelock. Writes check.json and check.md into the folder of --out
after every result. --device cpu --tiny shows without a GPU that everything runs.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from mps import stop_mps
from timebox import Part, Records, run_parts, supervise, write_text

FIRST, OTHERS = ("resnet20", "wide-resnet28-2"), ("resnet32", "vgg13", "googlenet")
WAYS = {
    "ours": {},
    "eager": {"eager": True},
    "plain": None,
    "tf32": {"precision": "tf32"},
    "bf16": {"precision": "bf16"},
}
"""Columns of the tables of speed; the plain loop is no function of ours."""


def describe_card(device: str) -> dict:
    """Return card, driver and the versions that results depend on."""
    import torch  # the supervising process does without

    found = {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }
    if device == "cuda":
        card = torch.cuda.get_device_properties(0)
        found |= {
            "card": card.name,
            "memory_gib": round(card.total_memory / 2**30, 1),
            "multiprocessors": card.multi_processor_count,
            "driver": _ask_driver(),
        }
    return found


def _ask_driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else "unknown"


def list_names() -> list[str]:
    """Return all parts in the order in which they are worth having."""
    names = ["card", *(f"property: {name}" for name in PROPERTY_NAMES)]
    for network in FIRST:
        names += [f"training {network} {way}" for way in WAYS]
    for network in FIRST:
        names += [f"landscape {network} {way}" for way in WAYS]
    names += [f"kernels resnet20 {way}" for way in ("ours", "eager")]
    names += [f"several {runs}" for runs in (1, 2, 4)]
    for network in OTHERS:
        names += [f"training {network} {way}" for way in WAYS]
    return [*names, *(f"several {runs} mps" for runs in (1, 2, 4))]


PROPERTY_NAMES = (
    "training repeats",
    "landscape repeats",
    "losses against the CPU",
    "landscape against the CPU",
    "SIGKILL and resume",
    "jumps repeat",
    "projection repeats",
    "bf16 deviation",
    "memory too small",
    "lease",
    "googlenet repeats",
    "vgg13 repeats",
    "bf16 training repeats",
)


def plan_parts() -> dict[str, Part]:
    """Return every part without what it calls: for the process that loads no torch."""
    return {name: Part(dict, *_limits(name)) for name in list_names()}


def _limits(name: str) -> tuple[float, float]:
    """Return the seconds that a part takes at least, and after which it is ended."""
    if name.startswith("property"):
        return 8.0, 60.0
    return 10.0, 75.0


def bind_parts(device: str, tiny: bool, folder: Path) -> dict[str, Part]:
    """Return every part with what it calls."""
    from properties import PROPERTY_CHECKS, Case
    from speed import (
        Sizes,
        measure_kernel_share,
        measure_landscape,
        measure_plain_landscape,
        measure_plain_training,
        measure_several,
        measure_training,
    )

    sizes = Sizes(device, 0.1 if tiny else 2.5, tiny)
    calls = {"card": partial(describe_card, device)}
    for name, check in PROPERTY_CHECKS.items():
        calls[f"property: {name}"] = partial(check, Case(folder, device, tiny))
    for network in (*FIRST, *OTHERS):
        for way, options in WAYS.items():
            plain = options is None
            train = measure_plain_training if plain else partial(measure_training, **options)
            look = measure_plain_landscape if plain else partial(measure_landscape, **options)
            calls[f"training {network} {way}"] = partial(train, sizes, network=network)
            place = {} if plain else {"folder": folder}
            calls[f"landscape {network} {way}"] = partial(look, sizes, network=network, **place)
    for way in ("ours", "eager"):
        eager = way == "eager"
        calls[f"kernels resnet20 {way}"] = partial(measure_kernel_share, sizes, "resnet20", eager)
    for runs in (1, 2, 4):
        calls[f"several {runs}"] = partial(measure_several, sizes, runs)
        calls[f"several {runs} mps"] = partial(measure_several, sizes, runs, mps=True)
    return {name: Part(calls[name], *_limits(name)) for name in list_names()}


def write_report(records: Records, folder: Path, started: float, given: argparse.Namespace) -> None:
    """Write check.json and check.md from what is known so far."""
    known = records.read()
    result = {
        "device": given.device,
        "tiny": given.tiny,
        "budget": given.budget,
        "seconds": round(time.time() - started, 1),
        "parts": {name: {k: v for k, v in r.items() if k != "part"} for name, r in known.items()},
    }
    write_text(folder / "check.json", json.dumps(result, indent=1) + "\n")
    write_text(folder / "check.md", render(known, result))


def render(known: dict[str, dict], result: dict) -> str:
    """Return the results as Markdown."""
    found = {name: line.get("found", {}) for name, line in known.items()}
    card = found.get("card", {})
    lines = ["# GPU check", "", ", ".join(f"{k}: {v}" for k, v in card.items()) or "no card"]
    lines += ["", f"{result['seconds']:.0f} of {result['budget']:.0f} seconds.", ""]
    if result["tiny"]:
        lines += ["Tiny sizes: these speeds mean nothing.", ""]
    lines += ["| property | holds | found |", "| --- | --- | --- |"]
    lines += [_property_row(name, known.get(f"property: {name}", {})) for name in PROPERTY_NAMES]
    lines += _speed_table("training", "images_per_second", found, "images/s of training", ".0f")
    lines += _speed_table("landscape", "seconds_per_point", found, "seconds per point", ".4f")
    lines += [
        "",
        "| step of resnet20 | ms | time in kernels | kernels |",
        "| --- | --- | --- | --- |",
    ]
    for way in ("ours", "eager"):
        step = found.get(f"kernels resnet20 {way}", {})
        cells = [
            _cell(step.get("milliseconds_per_step"), ".2f"),
            _cell(step.get("share"), ".0%"),
            _cell(step.get("kernels_per_step"), ".0f"),
        ]
        lines += [f"| {way} | {' | '.join(cells)} |"]
    lines += [
        "",
        "| resnet20 runs at once, images/s in all | 1 | 2 | 4 |",
        "| --- | --- | --- | --- |",
    ]
    for label, suffix in (("without MPS", ""), ("with MPS", " mps")):
        rates = [found.get(f"several {n}{suffix}", {}).get("images_per_second") for n in (1, 2, 4)]
        lines += [f"| {label} | {' | '.join(_cell(rate, '.0f') for rate in rates)} |"]
    lines += [
        "",
        *(f"- {n}: {r['status']}: {r['reason']}" for n, r in known.items() if "reason" in r),
    ]
    return "\n".join(lines) + "\n"


def _property_row(name: str, line: dict) -> str:
    holds = {"done": "yes", "failed": "**no**"}.get(line.get("status", ""), "not measured")
    found = line.get("found") or line.get("reason", "")
    text = found if isinstance(found, str) else ", ".join(f"{k} {v}" for k, v in found.items())
    return f"| {name} | {holds} | {text} |"


def _speed_table(kind: str, value: str, found: dict, title: str, style: str) -> list[str]:
    """Return a table of one row a network; ratios are how many times faster ours is."""
    lines = ["", f"| {title} | {' | '.join(WAYS)} | ours / eager | ours / plain |"]
    lines += ["| --- " * (len(WAYS) + 3) + "|"]
    for network in (*FIRST, *(OTHERS if kind == "training" else ())):
        row = [found.get(f"{kind} {network} {way}", {}).get(value) for way in WAYS]
        ratios = [_ratio(row[0], other, value) for other in row[1:3]]
        cells = [*(_cell(v, style) for v in row), *(_cell(r, ".2f") for r in ratios)]
        lines += [f"| {network} | {' | '.join(cells)} |"]
    return lines


def _ratio(ours: float | None, other: float | None, value: str) -> float | None:
    if not ours or not other:
        return None
    return ours / other if value == "images_per_second" else other / ours


def _cell(value: float | None, style: str) -> str:
    return "–" if value is None else format(value, style)


def main() -> None:
    """Run all parts within the budget, or some of them as the supervised process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=480.0, help="seconds, all in all")
    parser.add_argument("--out", type=Path, default=Path("results/gpu/check"))
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes for a CPU")
    parser.add_argument("--only", nargs="*", default=[""], help="how the names of parts begin")
    parser.add_argument("--parts", help=argparse.SUPPRESS)
    parser.add_argument("--end", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    started = time.time()
    given.out.mkdir(parents=True, exist_ok=True)
    records = Records(given.out / "records.jsonl")
    if given.parts:
        parts = bind_parts(given.device, given.tiny, given.work)
        run_parts(parts, given.parts.split(","), records, given.end)
        return
    records.path.unlink(missing_ok=True)
    work = Path(tempfile.mkdtemp(prefix="lossmap-gpu-"))
    command = [sys.executable, __file__, "--out", given.out, "--device", given.device]
    command += ["--work", work, *(["--tiny"] if given.tiny else [])]
    report = partial(write_report, records, given.out, started, given)
    try:
        parts = {n: p for n, p in plan_parts().items() if n.startswith(("card", *given.only))}
        supervise([*map(str, command)], parts, records, started + given.budget, report)
    finally:
        _clean_up(work)
    print((given.out / "check.md").read_text())


def _clean_up(work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)
    stop_mps()


if __name__ == "__main__":
    main()
