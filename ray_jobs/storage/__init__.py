"""Files on local disk or in an object store: the only room that imports fsspec."""
