"""The page at `/`: one document that needs nothing else, put together from the files of this package.

Its script puts text into the page only as text. The policy lets the browser run this very script and style and talk to
this very watcher, and nothing else, so what a node or a client smuggles into a name cannot act.
"""

import base64
import hashlib
from importlib.resources import files


def make_page() -> tuple[bytes, str]:
    """The document and its Content-Security-Policy."""
    folder = files("honeybadger.watch")
    style, script, html = ((folder / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js", "html"))
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html.replace("/*style*/", style).replace("/*script*/", script).encode(), policy


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
