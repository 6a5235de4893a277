"""What joins this package to another project: one file each, named after it."""
