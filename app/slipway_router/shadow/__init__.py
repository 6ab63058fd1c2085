"""Shadow traffic: a share of the requests is copied to a candidate and compared; clients never notice."""
