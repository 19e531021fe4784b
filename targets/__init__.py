"""The backends, one folder each; installed as norse_export.targets. Nobody imports one by statement: see registry."""
