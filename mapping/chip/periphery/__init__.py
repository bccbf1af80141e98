"""What surrounds the arrays: behaviour and energy of drivers, converters, comparators and neurons."""
