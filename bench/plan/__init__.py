"""What is to be run: an experiment, the runs in it, their transactions and faults."""
