"""The page as text: its parts put into the template, with the scripts that its Content-Security-Policy allows."""

import base64
import hashlib
import json
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

_HERE = Path(__file__).parent
_MAP = re.compile(r'(<script type="application/json" id="map-data">).*?(</script>)', re.DOTALL)


def render(parts: dict[str, Any], data: dict[str, Any], coordinates: pd.DataFrame | None) -> str:
    """The page.

    Args:
        parts: what the template names; all text in it is escaped
        data: what the page's script reads, as plain lists and dicts
        coordinates: of step 5's `umap_emotion.csv`, or None
    """
    library, script = _plotly_js(), (_HERE / "page.js").read_text(encoding="utf-8")
    hashes = " ".join(f"'sha256-{_sha256(text)}'" for text in (library, script))
    return (
        _templates()
        .get_template("page.html")
        .render(
            **parts,
            policy=f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
            "media-src data: file:; base-uri 'none'; form-action 'none'",
            style=(_HERE / "page.css").read_text(encoding="utf-8"),
            library=library,
            script=script,
            data=in_script(data),
            map=in_script(map_data(coordinates)),
        )
    )


def with_map(page: str, coordinates: pd.DataFrame) -> str | None:
    """The page with other coordinates; None where it is not a page of this project."""
    block = in_script(map_data(coordinates))
    changed, n = _MAP.subn(lambda found: found[1] + block + found[2], page, count=1)
    return changed if n else None


def map_data(coordinates: pd.DataFrame | None) -> list[dict[str, Any]]:
    """The 2-D maps: `encoder`, `map`, and a list each of `id`, `x` and `y`."""
    if coordinates is None:
        return []
    return [
        {
            **rows[["encoder", "map"]].iloc[0].to_dict(),
            "id": rows["clip_id"].tolist(),
            **{axis: [round(float(value), 3) for value in rows[axis]] for axis in ("x", "y")},
        }
        for _, rows in coordinates.groupby(["encoder", "map"], sort=False)
    ]


def in_script(data: Any) -> str:
    """JSON that no text in it can end the script element of."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _plotly_js() -> str:
    """plotly.js as the package brings it; the package itself is not imported, for that takes a second."""
    return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8").replace("\r", "")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
