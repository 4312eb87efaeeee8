"""The page on which people try the models: files that are served as they stand, and asked for by browsers alone."""
