"""The documentation as a page of HTML."""

import html
import json
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

from accel_integration._annotations import type_text
from accel_integration._curl import curl_of
from accel_integration._describe import Entry, integration_state
from accel_integration._endpoint import Endpoint
from accel_integration._masking import MASK, is_secret_name, mask_path
from accel_integration._openapi import Schemas, schemas_of

__all__ = ["Links", "asset", "render_page"]

# `code`, ``code`` and *emphasis*; a star between other things is a star.
MARKS = re.compile(r"``?([^`\n]+)``?|(?<![\w*])\*(\w(?:[^*\n]*\w)?)\*(?![\w*])")

STATS = {
    "calls": "calls",
    "error_share": "errors",
    "p50": "p50",
    "p95": "p95",
    "p99": "p99",
    "retries": "retries",
    "throttled": "throttled",
    "refused": "refused",
    "timeouts": "timeouts",
    "fallbacks": "fallbacks",
    "circuit": "circuit",
    "last_error": "last error",
}


def asset(name: str) -> str:
    """Return a file that comes with the package."""
    return (files("accel_integration") / "_static" / name).read_text("utf-8")


class Links:
    """Where the page finds the rest; without a *root* it has to be complete alone."""

    def __init__(self, root: str | None) -> None:
        self.root = root

    def head(self) -> str:
        """Return what styles the page, and brings it to life."""
        if self.root is None:
            return f"<style>{asset('docintegration.css')}</style>"
        root = esc(self.root)
        return (
            f'<link rel="stylesheet" href="{root}/docintegration.css">'
            f'<script src="{root}/docintegration.js" defer></script>'
        )

    def openapi(self, slug: str) -> str:
        """Return a link to the OpenAPI document of an integration."""
        if self.root is None:
            return ""
        return f'<li><a href="{esc(self.root)}/openapi/{slug}.json">OpenAPI</a></li>'

    def search(self, query: str) -> str:
        """Return a form to search with, which needs a server."""
        if self.root is None:
            return ""
        return (
            f'<form class="search" role="search" action="{esc(self.root)}/">'
            '<input id="q" name="q" type="search" placeholder="Search endpoints" '
            f'aria-label="Search endpoints" value="{esc(query)}">'
            "<button>Search</button></form>"
        )


def esc(text: object) -> str:
    """Return *text* for HTML, in and out of attributes."""
    return html.escape(str(text), quote=True)


def prose(text: str) -> str:
    """Return *text* for HTML, with the emphasis and the code that docstrings mark."""
    # Escaped first, so that nothing in it but these marks becomes a tag.
    return MARKS.sub(
        lambda m: f"<em>{m[2]}</em>" if m[2] else f"<code>{m[1]}</code>", esc(text)
    )


def link(url: str, text: str) -> str:
    """Return a link, or only text if *url* is not one to click on."""
    if not re.match(r"https?://", url):
        return esc(url)
    return f'<a href="{esc(url)}" rel="noreferrer">{esc(text)}</a>'


def render_page(
    entries: Sequence[Entry], *, title: str, links: Links, query: str = ""
) -> str:
    """Return the whole page, with only what *query* is found in."""
    sections = [Section(entry, links, query) for entry in entries]
    shown = [section for section in sections if section.endpoints or not query]
    number = sum(len(section.endpoints) for section in shown)
    state_url = f"{links.root or ''}/state.json"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{esc(title)}</title>
{links.head()}
</head>
<body data-state-url="{esc(state_url)}">
<a class="skip" href="#main">Skip to the integrations</a>
<div class="page">
<header class="top">
<div><h1>{esc(title)}</h1><p>{count(len(shown), "integration")}, {count(number, "endpoint")}</p></div>
{links.search(query)}
</header>
<nav aria-label="Integrations"><ul>{"".join(section.nav() for section in shown)}</ul></nav>
<main id="main">
{"".join(section.render() for section in shown)}
<p class="empty" id="nothing"{" hidden" if shown else ""}>Nothing here matches.</p>
</main>
</div>
</body>
</html>
"""


def count(number: int, noun: str) -> str:
    """Return a number of things."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


class Section:
    """One integration on the page."""

    def __init__(self, entry: Entry, links: Links, query: str) -> None:
        self.entry = entry
        self.links = links
        self.state = integration_state(entry)
        wanted = query.strip().lower()
        self.endpoints = [e for e in entry.endpoints if wanted in self.text_of(e)]

    def text_of(self, endpoint: Endpoint) -> str:
        """Return what a search looks at."""
        docs = endpoint.docs
        words = (self.entry.integration.name, docs["name"], docs["path"])
        return " ".join((*words, docs["httpmethod"], docs["docstring"])).lower()

    def mark(self, tag: str, kind: str, state: str, key: str) -> str:
        """Return something that shows a state, and where to find it again."""
        inside = esc(state) if kind == "badge" else ""
        return (
            f'<{tag} class="{kind}" data-key="{esc(key)}" data-state="{esc(state)}" '
            f'title="{esc(state)}">{inside}</{tag}>'
        )

    def nav(self) -> str:
        """Return the way to this section."""
        dot = self.mark("span", "dot", self.state["state"], self.entry.slug)
        name, host = self.entry.integration.name, self.entry.host
        label = f"<span>{esc(name)} <small>{esc(host)}</small></span>"
        return f'<li><a href="#{self.entry.slug}">{dot}{label}</a></li>'

    def render(self) -> str:
        """Return the section."""
        entry, integration = self.entry, self.entry.integration
        schemas = schemas_of(entry)
        states = {state["name"]: state for state in self.state["endpoints"]}
        articles = [
            self.article(endpoint, states[endpoint.name], schemas)
            for endpoint in self.endpoints
        ]
        url = entry.base_url or "no base URL"
        return (
            f'<section class="integration" id="{entry.slug}"><header>'
            f"<h2>{esc(integration.name)}</h2>"
            f"{self.mark('span', 'badge', self.state['state'], entry.slug)}</header>"
            f"<p>{prose(integration.doc)}</p>"
            f'<ul class="facts"><li><code>{esc(url)}</code></li>'
            f"<li>{esc(entry.cls.__name__)}</li>{self.links.openapi(entry.slug)}</ul>"
            f"{''.join(articles)}</section>\n"
        )

    def article(
        self, endpoint: Endpoint, state: dict[str, Any], schemas: Schemas
    ) -> str:
        """Return one endpoint."""
        key = f"{self.entry.slug}.{endpoint.name}"
        docs = endpoint.docs
        facts = [f"version {esc(endpoint.version)}" if endpoint.version else ""]
        if endpoint.docurl:
            facts.append(link(endpoint.docurl, "documentation of the other side"))
        listed = "".join(f"<li>{fact}</li>" for fact in facts if fact)
        return (
            f'<details class="endpoint" data-text="{esc(self.text_of(endpoint))}">'
            f'<summary><span class="method">{esc(endpoint.httpmethod)}</span>'
            f"<h3>{esc(endpoint.name)}</h3>"
            f'<code class="path">{esc(mask_path(endpoint.path))}</code>'
            f"{self.mark('span', 'badge', state['state'], key)}</summary>"
            f'<div class="body"><p class="doc">{prose(docs["docstring"])}</p>'
            f'<ul class="facts">{listed}</ul>'
            f"{statistics(key, state)}{policy(docs['policy'])}"
            f"{arguments(endpoint)}{answers(endpoint, schemas)}"
            f"<h4>As a command</h4><pre><code>{esc(curl_of(self.entry, endpoint))}"
            "</code></pre></div></details>"
        )


def statistics(key: str, state: dict[str, Any]) -> str:
    """Return the numbers of an endpoint."""
    rows = "".join(
        f'<div><dt>{label}</dt><dd id="{esc(key)}.{name}">'
        f"{esc(state['shown'][name])}</dd></div>"
        for name, label in STATS.items()
    )
    used_by = f'<p id="{esc(key)}.used_by">{esc(state["shown"]["used_by"])}</p>'
    return f'<h4>Since the start</h4><dl class="stats">{rows}</dl><h4>Used by</h4>{used_by}'


def policy(words: Iterable[str]) -> str:
    """Return the stability patterns, from the outside to the inside."""
    steps = "".join(f"<li>{esc(step)}</li>" for step in words)
    if not steps:
        return "<h4>Stability</h4><p>No stability patterns.</p>"
    return f'<h4>Stability, from the outside in</h4><ol class="policy">{steps}</ol>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are HTML already."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def arguments(endpoint: Endpoint) -> str:
    """Return what an endpoint takes."""
    rows = []
    for name, parameter in endpoint.parameters.items():
        default = "required"
        if parameter.default is not parameter.empty:
            secret = is_secret_name(name)
            default = f"<code>{MASK if secret else esc(repr(parameter.default))}</code>"
        kind = f"<code>{esc(type_text(parameter.annotation))}</code>"
        rows.append((f"<code>{esc(name)}</code>", kind, default))
    if not rows:
        return "<h4>Arguments</h4><p>None.</p>"
    return f"<h4>Arguments</h4>{table(('name', 'type', 'default'), rows)}"


def answers(endpoint: Endpoint, schemas: Schemas) -> str:
    """Return what an endpoint gives."""
    parts = ["<h4>Answers</h4>"]
    for alternative in endpoint.schema.alternatives:
        schema = schemas.of(alternative.annotation)
        status = f"on {alternative.status}" if alternative.status else "on success"
        name = esc(type_text(alternative.annotation))
        parts.append(
            f'<details class="schema"><summary><code>{name}</code> <span>{status}</span></summary>'
            f"{fields(schema, schemas.definitions)}</details>"
        )
    return "".join(parts)


def fields(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return the fields of a schema as a table, or else the schema itself."""
    model = resolve(schema, definitions)
    if "properties" not in model:
        return f"<pre><code>{esc(json.dumps(schema, indent=2))}</code></pre>"
    required = model.get("required", ())
    rows = [
        (
            f"<code>{esc(name)}</code>",
            f"<code>{esc(kind_of(field))}</code>",
            "required" if name in required else "optional",
            esc(field.get("description", "")),
        )
        for name, field in model["properties"].items()
    ]
    return table(("field", "type", "", "meaning"), rows)


def resolve(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Follow the reference of a schema, or that of its items."""
    target = schema.get("items", schema) if schema.get("type") == "array" else schema
    name = str(target.get("$ref", "")).rpartition("/")[2]
    found: dict[str, Any] = definitions.get(name, target)
    return found


def kind_of(schema: dict[str, Any]) -> str:
    """Return the type in a schema as people say it."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " | ".join(json.dumps(value) for value in values)
    if "anyOf" in schema:
        return " | ".join(kind_of(member) for member in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {kind_of(schema.get('items', {}))}"
    kind = str(schema.get("type", "anything"))
    return f"{kind} ({schema['format']})" if "format" in schema else kind
