"""A student that asks its teacher where it is not sure: which scores those are, and what that costs."""
