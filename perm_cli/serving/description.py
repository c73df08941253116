"""The server's OpenAPI description as an HTML page that loads nothing and runs no script."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import orjson

HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body {{ font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}</style>
<h1>{title}</h1>
<p>{summary} Clients can be generated from <a href="openapi.json">openapi.json</a>."""


def page_of(description: Mapping[str, Any]) -> str:
    """Return a page with every path, its request body and its responses."""
    return "\n".join(_parts(description))


def _parts(description: Mapping[str, Any]) -> Iterator[str]:
    about = description["info"]
    yield _HEAD.format(title=escape(f"{about['title']} {about['version']}"), summary=escape(about["summary"]))
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield from _operation(f"{method.upper()} {path}", operation)
    yield "<h2>Bodies</h2>"
    for name, schema in description["components"]["schemas"].items():
        yield f"<details id='{escape(name)}'><summary>{escape(name)}</summary>{_json(schema)}</details>"


def _operation(name: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2>{escape(name)}</h2><p>{escape(operation['summary'])}"
    if "requestBody" in operation:
        yield f"<p>Takes {_bodies(operation['requestBody'])}.<ul>"
    else:
        yield "<ul>"
    for status, response in operation["responses"].items():
        yield f"<li>{status}: {escape(response['description'])} {_bodies(response)}"
    yield "</ul>"


def _bodies(described: Mapping[str, Any]) -> str:
    return ", ".join(
        f"<code>{escape(kind)}</code> {_name(body.get('schema', {}))}".rstrip()
        for kind, body in described.get("content", {}).items()
    )


def _name(schema: Mapping[str, Any]) -> str:
    name = escape(schema.get("$ref", "").rpartition("/")[2])
    return f"<a href='#{name}'>{name}</a>" if name else ""


def _json(value: object) -> str:
    return f"<pre>{escape(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())}</pre>"
