"""What users may set: names, types, ranges and defaults, without any code that uses them."""
