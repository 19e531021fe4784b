"""The graphs: nodes, edges, and the node types of each stage."""
