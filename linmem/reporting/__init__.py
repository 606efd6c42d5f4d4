"""Results for readers: tables as Markdown, figures with matplotlib, and the files they are written to."""
