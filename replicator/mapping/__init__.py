"""YAML files to links: positions, expressions, lint. Reads files, never a database, and answers with findings."""
