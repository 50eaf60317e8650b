"""Tools that work on data sets: checks, preparation, rendered stand-ins, packs, hole filling."""
