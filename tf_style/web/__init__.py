"""The studio in the browser: a server, its queue of runs, and the page."""
