"""Fields that are typed into: numbers in every locale, quiet under the mouse wheel."""
