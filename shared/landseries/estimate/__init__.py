"""What a run would take: the pipeline table walked in simulated time, with rates measured on a finished run."""
