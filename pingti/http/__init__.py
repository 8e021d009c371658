"""HTTP as both sides need it: keys, proxies, and addresses that others name."""
