"""From torch models to graphs: loading, tracing, one table of modules per framework. Imports torch lazily."""
