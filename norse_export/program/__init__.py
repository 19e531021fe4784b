"""What a neuron step is: operations, symbolic trace, families."""
