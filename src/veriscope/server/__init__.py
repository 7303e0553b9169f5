"""The server: an HTTP API, cases, and a page, on a queue of jobs. Needs the extra: ``pip install 'veriscope[server]'``."""
