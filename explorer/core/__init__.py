"""Values and rules that everything else may use."""
