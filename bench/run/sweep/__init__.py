"""Simulated runs on the workers of a Dask cluster. `caller` hands them out, `worker` does one, `job` is what they say
to each other."""
