"""How the sets of bench/run sum up their runs and show them."""
