"""The workflow as a picture that a person can read: its stages, and what is made from what."""

from collections import Counter

from lossmap.workflow.stages import STAGES, sources
from lossmap.workflow.targets import all_targets


def draw_stages(config: dict) -> str:
    """Return the stages of a configuration as a graph in the DOT language of Graphviz.

    A box is a stage with the number of its artifacts; an arrow says that some of one are made from
    some of the other.
    """
    targets = [target.split("/", 1) for target in all_targets(config)]
    counts = Counter(stage for stage, _ in targets)
    arrows = {
        (source.partition("/")[0], stage)
        for stage, name in targets
        for source in sources(config, stage, name)
    }
    boxes = [f'  {stage} [label="{stage}\\n{counts[stage]}"]' for stage in STAGES if counts[stage]]
    lines = [f"  {source} -> {made}" for source, made in sorted(arrows) if source != made]
    style = 'rankdir=LR node [shape=box style=rounded fontname="sans-serif"]'
    return "\n".join([f"digraph lossmap {{\n  {style}", *boxes, *lines, "}"])
