from __future__ import annotations

import re
from pathlib import Path

from flumebeam import transforms
from flumebeam.channel.publishing import MEASURED, PublisherCounts
from flumebeam.transforms.metrics import COUNTERS, DISTRIBUTIONS, GAUGES

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(\w+)` \| (counter|distribution|gauge) \| (.+?) \| (.+?) \|$", re.M)
TABLE = ROW.findall((ROOT / "docs" / "metrics.md").read_text(encoding="utf-8"))


def test_the_page_has_every_metric_with_its_kind_and_meaning_and_no_other() -> None:
    kinds = {"counter": COUNTERS, "distribution": DISTRIBUTIONS, "gauge": GAUGES}

    assert {(name, kind, what) for name, kind, what, _ in TABLE} == {
        (name, kind, what) for kind, table in kinds.items() for name, what in table.items()
    }
    assert len(TABLE) == sum(map(len, kinds.values()))


def test_every_metric_is_told_by_some_transform_and_made_in_one_place() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / "transforms").glob("*.py")}
    told = {
        name
        for text in sources.values()
        for name in re.findall(r"metrics\.(?:counter|distribution|gauge)\(\"(\w+)", text)
    }
    told |= {*MEASURED, *PublisherCounts.__slots__}

    assert told >= {*COUNTERS, *DISTRIBUTIONS, *GAUGES}
    assert [path.name for path, text in sources.items() if "import Metrics" in text] == ["metrics.py"]


def test_whoever_tells_a_metric_is_a_transform_of_ours() -> None:
    named = {name for *_, steps in TABLE for name in re.findall(r"`(\w+)`", steps)}

    assert named <= set(transforms.__all__)
