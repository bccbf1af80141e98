"""Networks on chips: placed, run, aged, and compared over dies."""
