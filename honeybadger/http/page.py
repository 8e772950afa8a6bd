"""The page at `/`: one document that needs nothing else, put together from the files beside this module.

Its script puts text into the page only as text. The policy lets the browser run this very script and style and talk to
this very node, and nothing else, so what a node or a client smuggles into a name cannot act.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files


class Page:
    """`html`: the document; `policy`: its Content-Security-Policy."""

    def __init__(self) -> None:
        folder = files("honeybadger.http")
        style = (folder / "page.css").read_text(encoding="utf-8")
        script = (folder / "page.js").read_text(encoding="utf-8")
        html = (folder / "page.html").read_text(encoding="utf-8")
        self.html = html.replace("/*style*/", style).replace("/*script*/", script).encode()
        self.policy = (
            f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
