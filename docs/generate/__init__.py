"""What `mkdocs build` writes into the pages: MkDocs hooks, and generators of reference pages."""
