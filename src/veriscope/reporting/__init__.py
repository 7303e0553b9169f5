"""A report on every surface: terminal, HTML, PDF, the index of a folder run, and the JSON Schema."""

from veriscope.reporting.contract import json_schema
from veriscope.reporting.files import write_atomically
from veriscope.reporting.html import render_html, save_html
from veriscope.reporting.index import IndexRow, index_row, save_index
from veriscope.reporting.pdf import save_pdf
from veriscope.reporting.terminal import print_report

__all__ = [
    "IndexRow",
    "index_row",
    "json_schema",
    "print_report",
    "render_html",
    "save_html",
    "save_index",
    "save_pdf",
    "write_atomically",
]
