"""Tables as Markdown and figures with matplotlib."""
